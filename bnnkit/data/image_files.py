"""Image files of one size, read by Pillow: PNG and JPEG."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import FileError
from bnnkit.files.regular_file import open_file
from bnnkit.files.unpacked import most_unpacked
from bnnkit.images.opened import opened_image

if TYPE_CHECKING:
    from PIL.Image import Image

_GRAY, _COLOUR = ("1", "L"), ("RGB", "P")


@dataclass(frozen=True)
class ImageForm:
    """What images have in common: C is 1 if all are gray, else 3; H and W in pixels."""

    channels: int
    height: int
    width: int

    @property
    def n_bytes(self) -> int:
        """The size of an image in memory."""
        return self.channels * self.height * self.width


class LabelledFiles(NamedTuple):
    """Image files, and the label of each."""

    paths: Sequence[Path]
    labels: Sequence[int]


def form_of_images(paths: Sequence[Path]) -> ImageForm:
    """Read the headers of one or more images.

    Raises:
        MissingExtraError: If Pillow is not installed.
        FileError: If an image is damaged, transparent, or neither gray of 8 bits nor RGB, or two
            have different sizes.
    """
    with _opened(paths[0]) as first:
        width, height = first.size
    coloured = [_is_coloured(path, (width, height), paths[0]) for path in paths]
    return ImageForm(3 if any(coloured) else 1, height, width)


def read_images(paths: Sequence[Path], form: ImageForm) -> NDArray[np.uint8]:
    """Read one or more images of a form, from `form_of_images`.

    Returns:
        uint8 (N, C, H, W); gray images among coloured ones get three equal channels.

    Raises:
        FileError: If an image is damaged or has another size, or they unpack to much more than
            their files.
    """
    _check_bytes(paths, len(paths) * form.n_bytes)
    images = np.empty((len(paths), form.channels, form.height, form.width), np.uint8)
    for image, path in zip(images, paths, strict=True):
        with _opened(path) as opened:
            if opened.size != (form.width, form.height):
                raise FileError(
                    f"{path}: expected {_words((form.width, form.height))}, got "
                    f"{_words(opened.size)}: it has changed since its header was read"
                )
            pixels = np.asarray(opened.convert("RGB" if form.channels == 3 else "L"))
            image[...] = pixels.reshape(form.height, form.width, -1).transpose(2, 0, 1)
    return images


def _is_coloured(path: Path, size: tuple[int, int], first: Path) -> bool:
    """Check the header of an image; return whether it is RGB."""
    with _opened(path) as image:
        if image.size != size:
            raise FileError(
                f"{path}: expected images of one size, {_words(size)} as {first}, got "
                f"{_words(image.size)}; resize or crop them"
            )
        if image.mode not in (*_GRAY, *_COLOUR) or "transparency" in image.info:
            raise FileError(
                f"{path}: expected a gray or RGB image of 8 bits without transparency, got the "
                f"mode {image.mode}{' with transparency' * ('transparency' in image.info)}; "
                "convert it"
            )
        return image.mode in _COLOUR


def _words(size: tuple[int, int]) -> str:
    width, height = size
    return f"{width} x {height} pixels"


def _check_bytes(paths: Sequence[Path], unpacked: int) -> None:
    most = most_unpacked(sum(path.stat().st_size for path in paths))
    if unpacked > most:
        raise FileError(
            f"{paths[0]} and the other images unpack to {unpacked:,} bytes, more than {most:,}, "
            "the limit for compressed files of their size"
        )


@contextmanager
def _opened(path: Path) -> "Iterator[Image]":
    """Open an image; its pixels are read on demand, in the block."""
    needed_by = "the data set folder (images read by Pillow)"
    with open_file(path) as file, opened_image(file, path, needed_by=needed_by) as image:
        yield image
