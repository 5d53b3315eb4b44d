"""Pages without rights around every buffer of the runtime, so that a stray access ends at once.

`install` replaces the runtime's allocations. Each buffer, with the slack that its allocation
promises, then ends where such a page begins ("after"), or begins where one ends ("before"). A
kernel that reads or writes beyond it ends the process with a segmentation fault.
"""

import ctypes
import mmap
import types
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnnkit.runtime.memory import aligned, values
from bnnkit.runtime.memory.memory import Memory

Array = NDArray[Any]
Side = Literal["after", "before"]

_LIBC = ctypes.CDLL(None, use_errno=True)
_PAGE = mmap.PAGESIZE
_NO_RIGHTS = 0
"""PROT_NONE of mprotect(2)."""
_ADDRESS = Memory.address


def guarded(size: int, *, slack: int = 0, alignment: int = 64, side: Side = "after") -> Array:
    """Zeros of uint8 between two pages without rights.

    Args:
        size: Bytes.
        slack: Bytes behind them that may be read and written too.
        alignment: Of the first byte; "after" leaves as much as that asks for unguarded.
        side: Which end of the buffer touches a page.
    """
    room = max(_PAGE, -(-(size + slack) // _PAGE) * _PAGE)
    mapping = mmap.mmap(-1, room + 2 * _PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    for page in (start, start + _PAGE + room):
        if _LIBC.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), _NO_RIGHTS):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = (room - size - slack) // alignment * alignment if side == "after" else 0
    return np.frombuffer(mapping, np.uint8, count=size, offset=_PAGE + offset)


def zeros(
    shape: tuple[int, ...], dtype: Any, *, slack: int = 0, alignment: int = 64, side: Side
) -> Array:
    """As `guarded`, of a shape and a dtype."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    found = guarded(size, slack=slack, alignment=alignment, side=side)
    result: Array = found.view(dtype).reshape(shape)
    return result


def install(replace: Callable[[Any, str, Any], None] = setattr, side: Side = "after") -> None:
    """Guard every buffer that the runtime allocates from now on.

    Args:
        replace: Sets an attribute of an object; a test gives `monkeypatch.setattr`.
        side: As of `guarded`.
    """

    def of_lines(shape: tuple[int, ...], dtype: Any) -> Array:
        return zeros(shape, dtype, slack=aligned.LINE, side=side)

    def in_lines(array: Array) -> Array:
        copy = of_lines(array.shape, array.dtype)
        copy[...] = array
        return copy

    def plain(shape: Any, dtype: Any = float) -> Array:
        item = np.dtype(dtype).itemsize
        return zeros(tuple(shape), dtype, alignment=item, side=side)

    numpy_guarded = types.ModuleType("numpy_guarded")
    numpy_guarded.__dict__.update(np.__dict__)
    numpy_guarded.__dict__["zeros"] = plain

    def of_copy(memory: Memory, array: Array) -> int:
        counters = memory.counters
        if any(np.shares_memory(array, own) for own in (counters.images, counters.words)):
            return _ADDRESS(memory, array)  # written before each pass
        if any(np.shares_memory(array, own) for own in memory.buffers.values()):
            return _ADDRESS(memory, array)  # guarded already, and written in each pass
        if array is counters.keys:
            return _ADDRESS(memory, array)
        copy = zeros(array.shape, array.dtype, alignment=array.dtype.itemsize, side=side)
        copy[...] = array
        return _ADDRESS(memory, copy)

    replace(aligned, "zeros", of_lines)
    replace(aligned, "copy", in_lines)
    replace(values, "np", numpy_guarded)
    replace(Memory, "address", of_copy)
