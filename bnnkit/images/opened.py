"""Opening PNG and JPEG images with Pillow, whose errors and warnings become bnnkit's."""

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from bnnkit.border import border
from bnnkit.errors import FileError, MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES: Final = (".png", ".jpg", ".jpeg")
_FORMATS: Final = ("PNG", "JPEG")
_DAMAGE: Final = (OSError, EOFError, SyntaxError, ValueError, zlib.error, struct.error)
"""What Pillow raises for damaged files."""


@contextmanager
def opened_image(
    file: IO[bytes], name: object, *, needed_by: str = "reading images"
) -> "Iterator[Image]":
    """Open an image; its pixels are read on demand, in the block.

    The caller limits the number of pixels before it reads them.

    Args:
        file: The file, at its beginning.
        name: Its path, for messages.
        needed_by: What needs Pillow, for the message if it is missing.

    Raises:
        MissingExtraError: If Pillow is not installed.
        FileError: If the file is no PNG or JPEG image, or is damaged; also in the block.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError as error:
        raise MissingExtraError(needed_by, "images") from error
    with border(FileError, name), warnings.catch_warnings():
        # Of large images, for which callers have limits of their own, and of damaged metadata.
        warnings.simplefilter("ignore")
        try:
            with Image.open(file, formats=_FORMATS) as image:
                yield image
        except Image.DecompressionBombError as error:
            raise FileError(f"{name} has too many pixels; make it smaller") from error
        except UnidentifiedImageError as error:
            raise FileError(_no_image(name, file)) from error
        except _DAMAGE as error:
            raise FileError(
                f"{name} is damaged or no image, expected PNG or JPEG ({error}); mend or remove it"
            ) from error


def _no_image(name: object, file: IO[bytes]) -> str:
    """Say what a file is in which Pillow finds no PNG or JPEG image."""
    file.seek(0)
    start = file.read(16)
    other = next((word for word, is_it in _OTHERS.items() if is_it(start)), None)
    if other is not None:
        return f"{name} is a {other} image, expected PNG or JPEG; convert it to PNG"
    return f"{name} is damaged or no image, expected PNG or JPEG; mend or remove it"


_OTHERS: Final[dict[str, Callable[[bytes], bool]]] = {
    "GIF": lambda start: start[:4] == b"GIF8",
    "WebP": lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP",
    "BMP": lambda start: start[:2] == b"BM",
    "TIFF": lambda start: start[:4] in (b"II*\0", b"MM\0*"),
    "HEIC": lambda start: start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"),
    "AVIF": lambda start: start[4:12] == b"ftypavif",
}
"""Formats of photos that are not read, by the first bytes of their files."""
