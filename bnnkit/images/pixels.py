"""From an image as a file holds it to gray or RGB pixels of 8 bits, upright."""

from typing import TYPE_CHECKING, Final

import numpy as np

from bnnkit.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

_ORIENTATION: Final = 0x0112
"""The tag of EXIF that says how the camera was held."""
_TURNS: Final = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""From the orientation to Pillow's number of the transposition (PIL.Image.Transpose)."""
_SIXTEEN_BITS: Final = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_WITH_ALPHA: Final = ("LA", "La", "PA", "RGBA", "RGBa")


def plain_pixels(image: "Image", channels: int) -> "Image":
    """Return an image in the mode "L" for one channel, else "RGB", turned as EXIF says.

    Gray of 16 bits is rounded to 8. CMYK and palettes are converted. What is transparent is laid
    on white. Colours become gray by ITU-R 601-2. Colour profiles are not applied.
    """
    if image.mode in _SIXTEEN_BITS:
        plain = _from_sixteen_bits(image)
    elif image.mode in _WITH_ALPHA or "transparency" in image.info:
        plain = _on_white(image)
    else:
        plain = image
    return _upright(_in_mode(plain, "L" if channels == 1 else "RGB"), _orientation(image))


def _in_mode(image: "Image", mode: str) -> "Image":
    """Convert an image; one that has the mode is not copied, because it may be large."""
    try:
        return image if image.mode == mode else image.convert(mode)
    except ValueError as error:
        raise UsageError(f"Pillow cannot convert the image to {mode}: {error}") from error


def _orientation(image: "Image") -> int:
    """Return the orientation, 1 if the metadata have none or are damaged: the pixels are sound."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return found if isinstance(found, int) else 1


def _upright(image: "Image", orientation: int) -> "Image":
    from PIL.Image import Transpose

    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(Transpose(turn))


def _from_sixteen_bits(image: "Image") -> "Image":
    """Round values 0..65535 to 0..255; Pillow's own conversion cuts off all above 255."""
    from PIL import Image

    values = np.asarray(image).clip(0, 65535).astype(np.uint32)
    gray = ((values + 128) // 257).astype(np.uint8)
    gray[values == image.info.get("transparency", -1)] = 255
    return Image.fromarray(gray)


def _on_white(image: "Image") -> "Image":
    from PIL import Image

    white = Image.new("RGB", image.size, "white")
    # Pillow converts gray with multiplied transparency to nothing else.
    coloured = _in_mode(_in_mode(image, "LA") if image.mode == "La" else image, "RGBA")
    white.paste(coloured, mask=coloured)
    return white
