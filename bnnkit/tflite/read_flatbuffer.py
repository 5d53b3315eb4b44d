"""FlatBuffers, read with every offset checked.

The accessors of the package flatbuffers trust the file. These do not: an offset that leads out of
the file is an error. So is a file whose parts overlap so much that reading it would take far more
time than its size suggests.

References:
    https://flatbuffers.dev/internals/
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError

T = TypeVar("T")

_OVERLAP = 4
"""How often a byte of a file may be read on average: parts may be shared, but not often."""
_LONGEST_TEXT = 256
_GRACE = 1 << 16
"""Bytes that may be read beyond that, so that small files have room."""


class Buffer:
    """The content of a file, and how much of it may still be read.

    Attributes:
        data: The content.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._left = _OVERLAP * len(data) + _GRACE

    def number(self, code: str, position: int) -> Any:
        """Read a little-endian number; `code` is that of the module struct."""
        self.check(position, struct.calcsize(f"<{code}"))
        return struct.unpack_from(f"<{code}", self.data, position)[0]

    def check(self, position: int, size: int) -> None:
        """Check that a range is inside the file.

        Raises:
            ArtifactError: The range is out of bounds.
        """
        if position < 0 or size < 0 or position + size > len(self.data):
            raise ArtifactError(
                f"the TFLite file is damaged: it refers to {size} bytes at {position} of"
                f" {len(self.data)}"
            )

    def spend(self, size: int) -> None:
        """Count bytes that are read.

        Raises:
            ArtifactError: More are read than a valid file of this size needs.
        """
        self._left -= size
        if self._left < 0:
            raise ArtifactError("the TFLite file is damaged: its parts overlap")

    def root(self) -> "Table":
        """The root table."""
        return Table(self, self.number("I", 0))


class Table:
    """A table, each of whose slots may be left out.

    Args:
        buffer: Contains the table.
        position: Of its first byte.
    """

    def __init__(self, buffer: Buffer, position: int) -> None:
        self._buffer, self._position = buffer, position
        self._slots = position - buffer.number("i", position)
        self._size = buffer.number("H", self._slots)
        buffer.check(self._slots, self._size)
        buffer.spend(self._size)

    def number(self, slot: int, code: str, default: Any = 0) -> Any:
        """A number that is stored in the table itself; `code` is that of the module struct."""
        place = self.place(slot)
        return default if place is None else self._buffer.number(code, place)

    def has(self, slot: int) -> bool:
        """Whether the slot is present."""
        return self.place(slot) is not None

    def table(self, slot: int) -> "Table | None":
        """The table that the slot refers to."""
        place = self._target(slot)
        return None if place is None else Table(self._buffer, place)

    def tables(self, slot: int, read: "Callable[[Table], T]") -> list[T]:
        """What `read` returns for each table of a vector."""
        return list(self._each(slot, read))

    def array(self, slot: int, code: str) -> NDArray[Any]:
        """A vector of numbers, not copied; `code` is that of NumPy."""
        dtype = np.dtype(code).newbyteorder("<")
        start, length = self._vector(slot, dtype.itemsize)
        return np.frombuffer(self._buffer.data, dtype, length, start)

    def ints(self, slot: int, code: str = "i4") -> tuple[int, ...]:
        """A vector of integers."""
        array = self.array(slot, code)
        self._buffer.spend(array.nbytes)
        return tuple(array.tolist())

    def floats(self, slot: int) -> tuple[float, ...]:
        """A vector of float32 numbers."""
        array = self.array(slot, "f4")
        self._buffer.spend(array.nbytes)
        return tuple(array.tolist())

    def text(self, slot: int) -> str:
        """A string, shortened, with `?` for characters that cannot be printed."""
        found = self.raw(slot)[:_LONGEST_TEXT].decode("utf-8", "replace")
        return "".join(letter if letter.isprintable() else "?" for letter in found)

    def raw(self, slot: int) -> bytes:
        """A copy of a vector of bytes."""
        array = self.array(slot, "u1")
        self._buffer.spend(array.nbytes)
        return array.tobytes()

    def place(self, slot: int) -> int | None:
        """Position of the value of a slot; None if it is left out."""
        if 4 + 2 * slot + 2 > self._size:
            return None
        offset = self._buffer.number("H", self._slots + 4 + 2 * slot)
        return self._position + offset if offset else None

    def _each(self, slot: int, read: "Callable[[Table], T]") -> Iterator[T]:
        start, length = self._vector(slot, 4)
        self._buffer.spend(4 * length)
        for place in range(start, start + 4 * length, 4):
            yield read(Table(self._buffer, place + self._buffer.number("I", place)))

    def _vector(self, slot: int, item: int) -> tuple[int, int]:
        """Position of the first item, and the number of items."""
        place = self._target(slot)
        if place is None:
            return 0, 0
        length = self._buffer.number("I", place)
        self._buffer.check(place + 4, length * item)
        return place + 4, length

    def _target(self, slot: int) -> int | None:
        """Position that the slot refers to."""
        place = self.place(slot)
        return None if place is None else place + self._buffer.number("I", place)
