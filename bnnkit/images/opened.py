"""Opening PNG and JPEG images with Pillow, whose errors and warnings become bnnkit's."""

import struct
import warnings
import zlib
from collections.abc import Iterator
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
        except (*_DAMAGE, Image.DecompressionBombError) as error:
            # Pillow's own sentence on what is no image shows the object of the file.
            reason = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
            raise FileError(
                f"{name} is damaged or no image, expected PNG or JPEG{reason}; mend or remove it"
            ) from error
