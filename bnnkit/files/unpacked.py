"""How much a compressed file may unpack to, so that a small one cannot fill the memory."""

from typing import Final

_GRACE_BYTES: Final = 128 << 20
_GROWTH: Final = 100
"""Images and labels shrink to a tenth at best; zeros alone shrink to a thousandth."""


def most_unpacked(file_bytes: int) -> int:
    """Return the largest number of bytes that a compressed file of this size may hold."""
    return _GRACE_BYTES + _GROWTH * file_bytes
