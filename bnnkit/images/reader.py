"""From an image file, or an image in memory, to one input of a network."""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.border import border
from bnnkit.errors import FileError, MissingExtraError, UsageError
from bnnkit.files.regular_file import open_file
from bnnkit.files.unpacked import most_unpacked
from bnnkit.images.opened import opened_image
from bnnkit.images.pixels import plain_pixels
from bnnkit.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

Array = NDArray[Any]

MOST_PIXELS: Final = 1 << 26
"""The largest image that is read: 67 million pixels, which take 256 MiB."""
_BYTES_PER_PIXEL: Final = 4
_CHANNELS: Final = (1, 3)


@dataclass(frozen=True, kw_only=True)
class ImageReader:
    """Reads images as inputs of a network.

    Attributes:
        channels: 1 for gray, 3 for RGB.
        height: Of the input, in pixels.
        width: Of the input, in pixels.
        channels_last: Whether an input is (H, W, C), not (C, H, W).
        dtype: uint8, or a real type.
        preprocessing: How images are resized and normalised.
    """

    channels: int
    height: int
    width: int
    channels_last: bool
    dtype: np.dtype[Any]
    preprocessing: Preprocessing

    def __post_init__(self) -> None:
        if self.dtype == np.uint8 and self.preprocessing.normalizes:
            raise UsageError(
                "mean and std are for real inputs; this network takes uint8 images, pixels from 0 "
                "to 255: leave them out"
            )
        for name in ("mean", "std"):
            value = getattr(self.preprocessing, name)
            if isinstance(value, tuple) and len(value) not in (1, self.channels):
                raise UsageError(
                    f"expected one {name} for each of {self.channels} channels, got {len(value)}"
                )
        resized = self._resized(1, 1)
        if min(resized[0] - self.height, resized[1] - self.width) < 0:
            raise UsageError(
                f"expected resize to be at least the size of the input, {self.height} x "
                f"{self.width} pixels, got {self.preprocessing.resize}"
            )

    def read(self, source: object, name: object = "the image") -> Array:
        """Return one input, (C, H, W) or (H, W, C).

        Args:
            source: The path of a PNG or JPEG file, its content as bytes or an open binary file, an
                image of Pillow, or the pixels: uint8 (H, W), (H, W, 1), (H, W, 3) RGB or
                (H, W, 4) RGBA.
            name: What to call the image in messages if it has no path.

        Raises:
            MissingExtraError: If Pillow is not installed.
            FileError: If a file cannot be read, is no PNG or JPEG image, is damaged, or has more
                than `MOST_PIXELS` pixels or many more than its size justifies.
            UsageError: If the source is none of these, has no pixels, or has a mode that Pillow
                does not convert.
        """
        if isinstance(source, str | os.PathLike):
            with open_file(Path(source)) as file:
                return self._from_file(file, source)
        if isinstance(source, bytes | bytearray | memoryview):
            return self._from_file(io.BytesIO(source), name)
        if callable(getattr(source, "read", None)):
            return self._from_file(source, name)  # type: ignore[arg-type]
        with border(UsageError, name):
            return self._fitted(_image(source, name))

    def _from_file(self, file: IO[bytes], name: object) -> Array:
        with opened_image(file, name) as image:
            _check_size(image, file, name)
            return self._fitted(image)

    def _fitted(self, image: "Image") -> Array:
        if 0 in image.size:
            raise UsageError("expected an image of at least one pixel, got none")
        plain = plain_pixels(image, self.channels)
        pixels = np.asarray(self._cut_out(plain)).reshape(self.height, self.width, self.channels)
        if self.preprocessing.invert:
            pixels = 255 - pixels
        values = self._normalised(pixels)
        return values if self.channels_last else np.ascontiguousarray(values.transpose(2, 0, 1))

    def _cut_out(self, image: "Image") -> "Image":
        """Resize an image and cut out its centre, of which alone the pixels are computed."""
        from PIL.Image import Resampling

        width, height = image.size
        new_height, new_width = self._resized(height, width)
        top, left = round((new_height - self.height) / 2), round((new_width - self.width) / 2)
        of_height, of_width = height / new_height, width / new_width
        box = (
            left * of_width,
            top * of_height,
            min((left + self.width) * of_width, width),
            min((top + self.height) * of_height, height),
        )
        method = Resampling[self.preprocessing.interpolation.upper()]
        return image.resize((self.width, self.height), method, box=box)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of an image before its centre is cut out."""
        resize = self.preprocessing.resize
        if isinstance(resize, tuple) and len(resize) == 2:
            return resize[0], resize[1]
        if resize is None:
            is_tall = height * self.width >= width * self.height
            short = self.width if is_tall else self.height
        else:
            is_tall = height >= width
            short = resize[0] if isinstance(resize, tuple) else int(resize)  # type: ignore[arg-type]
        return (short * height // width, short) if is_tall else (short, short * width // height)

    def _normalised(self, pixels: NDArray[np.uint8]) -> Array:
        if self.dtype == np.uint8:
            return pixels
        mean, std = (
            np.asarray(value, np.float32)
            for value in (self.preprocessing.mean, self.preprocessing.std)
        )
        values = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return values.astype(self.dtype, copy=False)


def image_reader(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    preprocessing: Preprocessing,
    *,
    channels_last: bool = False,
) -> ImageReader:
    """Return the reader for a network.

    Args:
        shape: Of one input: (C, H, W), or (H, W, C) where C is 1 or 3 and the first is not.
        dtype: Its element type.
        preprocessing: How images are resized and normalised.
        channels_last: Whether the file's own layout is (H, W, C), as of .tflite files.

    Raises:
        UsageError: If the network takes no images, or the preprocessing does not fit.
    """
    is_real = np.issubdtype(dtype, np.floating)
    last = channels_last or (len(shape) == 3 and shape[0] not in _CHANNELS)
    channels = shape[-1 if last else 0] if len(shape) == 3 else 0
    if channels not in _CHANNELS or not (is_real or dtype == np.uint8):
        raise UsageError(
            "expected a network that takes gray or RGB images, uint8 or real, of 1 or 3 channels; "
            f"this one takes {dtype} of shape (N, {', '.join(map(str, shape))}): give it an array"
        )
    height, width = shape[:2] if last else shape[1:]
    return ImageReader(
        channels=channels,
        height=height,
        width=width,
        channels_last=last,
        dtype=dtype,
        preprocessing=preprocessing,
    )


def _check_size(image: "Image", file: IO[bytes], name: object) -> None:
    """Check an image before its pixels are read."""
    width, height = image.size
    pixels = width * height
    file.seek(0, os.SEEK_END)
    most = min(MOST_PIXELS, most_unpacked(file.tell()) // _BYTES_PER_PIXEL)
    if pixels > most:
        raise FileError(
            f"{name} has {width} x {height} pixels, more than {most:,}, the limit for an image "
            "file of its size; make it smaller"
        )


def _image(source: object, name: object) -> "Image":
    """Return an image in memory as one of Pillow."""
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading images", "images") from error
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray) and source.dtype == np.uint8:
        pixels = source[:, :, 0] if source.ndim == 3 and source.shape[2] == 1 else source
        if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4)):
            return Image.fromarray(np.ascontiguousarray(pixels))
    found = (
        f"{source.dtype} {source.shape}"
        if isinstance(source, np.ndarray)
        else type(source).__name__
    )
    raise UsageError(
        "expected the path or the bytes of a PNG or JPEG file, an image of Pillow, or pixels, "
        f"uint8 (H, W), (H, W, 3) or (H, W, 4), as {name}; got {found}"
    )
