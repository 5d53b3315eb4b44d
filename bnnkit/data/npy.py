"""Arrays in NumPy's .npy format, read only where the file holds what its header promises.

`numpy.load` allocates what a header asks for before it looks whether the file is that long.
"""

from collections.abc import Callable
from math import prod
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read the array in a .npy file or in a member of an .npz file.

    Args:
        file: The file, at its beginning.
        size: Its size in bytes.

    Returns:
        A writable array of its own.

    Raises:
        ValueError: If the file is not .npy or is damaged, or holds Python objects.
    """
    version = npy.read_magic(file)  # type: ignore[no-untyped-call]
    if version not in _HEADERS:
        raise ValueError(f"expected the .npy format 1.0 or 2.0, got {version}")
    shape, is_fortran, dtype = _read_header(file, version)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be read")
    if any(type(length) is not int or length < 0 for length in shape) or dtype.itemsize < 1:
        raise ValueError(f"its header says {dtype} {shape}")
    expected, found = prod(shape) * dtype.itemsize, size - file.tell()
    if expected > found:
        raise ValueError(f"its header says {expected} bytes for {dtype} {shape}, got {found}")
    array = np.empty(prod(shape), dtype)
    _fill(file, array.view(np.uint8))
    return array.reshape(shape[::-1]).T if is_fortran else array.reshape(shape)


def _read_header(file: IO[bytes], version: tuple[int, int]) -> Header:
    read: Callable[[IO[bytes]], Header] = _HEADERS[version]
    try:
        return read(file)
    except Exception as error:  # it parses the header as Python, which may raise much
        raise ValueError(f"its header cannot be read: {error}") from error


def _fill(file: IO[bytes], content: NDArray[np.uint8]) -> None:
    """Read bytes from a file into an array."""
    view, at = content.data, 0
    while at < len(view):
        count = file.readinto(view[at:])  # type: ignore[attr-defined]
        if not count:
            raise ValueError(f"expected {len(view)} bytes, got {at}")
        at += count
