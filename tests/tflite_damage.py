"""Damage done to .tflite files: to the very numbers that the reader reads, and at random."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from lce_files import FILES
from numpy.typing import NDArray

from bnnkit.runtime.from_tflite import from_tflite
from bnnkit.tflite.read_flatbuffer import Buffer, Table
from bnnkit.tflite.slots import OperatorSlot

Random = np.random.Generator
_SIZES = {"b": 1, "B": 1, "?": 1, "H": 2, "i": 4, "I": 4, "f": 4, "q": 8, "Q": 8}
_WORDS = (0, 1, -1, 2, 3, 4, 16, 255, 1000, 65535, 1 << 20, (1 << 31) - 1, -(1 << 31), -2)
_LENGTHS = (0, 1, 2, 7, 64, 1000, 30000, 65536, 1 << 20, (1 << 31) - 1, -1)


@dataclass
class Layout:
    """Where a file has what.

    Attributes:
        numbers: Position and size in bytes of each number that is read: offsets, lengths, slots of
            tables, options.
        offsets: Those of them that are unsigned and of 32 bits: offsets, lengths, indices.
        items: Positions of the int32 items of vectors: shapes, and indices of tensors.
        custom: First and last position of the options of custom operators.
    """

    numbers: list[tuple[int, int]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    custom: list[tuple[int, int]] = field(default_factory=list)


@contextmanager
def _recorded(layout: Layout) -> Iterator[None]:
    """The reader tells what it reads."""
    number, ints, raw = Buffer.number, Table.ints, Table.raw

    def read(self: Buffer, code: str, position: int) -> Any:
        layout.numbers.append((position, _SIZES[code]))
        if code == "I":
            layout.offsets.append(position)
        return number(self, code, position)

    def vector(self: Table, slot: int, code: str = "i4") -> tuple[int, ...]:
        start, length = self._vector(slot, 4)
        layout.items.extend(range(start, start + 4 * length, 4))
        return ints(self, slot, code)

    def options(self: Table, slot: int) -> bytes:
        start, length = self._vector(slot, 1)
        if length and slot == OperatorSlot.CUSTOM_OPTIONS:
            layout.custom.append((start, start + length))
        return raw(self, slot)

    Buffer.number, Table.ints, Table.raw = read, vector, options  # type: ignore[method-assign]
    try:
        yield
    finally:
        Buffer.number, Table.ints, Table.raw = number, ints, raw  # type: ignore[method-assign]


@cache
def layout_of(path: Path) -> Layout:
    """Of a good file."""
    layout = Layout()
    with _recorded(layout):
        from_tflite(path.read_bytes())
    return layout


def _write(content: bytearray, position: int, size: int, word: int) -> None:
    if position + size <= len(content):
        content[position : position + size] = (word % (1 << 8 * size)).to_bytes(size, "little")


def _read(content: bytearray, position: int, size: int) -> int:
    return int.from_bytes(content[position : position + size], "little")


def _numbers(rng: Random, content: bytearray, layout: Layout) -> None:
    """Extreme numbers in the place of offsets, lengths, slots and options."""
    for _ in range(1 + int(rng.integers(3))):
        position, size = layout.numbers[int(rng.integers(len(layout.numbers)))]
        _write(content, position, size, int(rng.choice(_WORDS)))


def _nudged(rng: Random, content: bytearray, layout: Layout) -> None:
    """A little more or less: parts that overlap, vectors of a wrong length, other options."""
    for _ in range(1 + int(rng.integers(2))):
        position, size = layout.numbers[int(rng.integers(len(layout.numbers)))]
        _write(content, position, size, _read(content, position, size) + int(rng.integers(-9, 10)))


def _pointed(rng: Random, content: bytearray, layout: Layout) -> None:
    """An offset that leads where another one does: shared parts, and cycles."""
    source, target = (int(place) for place in rng.choice(layout.offsets, 2))
    _write(content, source, 4, target + _read(content, target, 4) - source)


def _swapped(rng: Random, content: bytearray, layout: Layout) -> None:
    """Two indices of tensors, or two sizes, or one of each."""
    for _ in range(1 + int(rng.integers(2))):
        one, other = (int(place) for place in rng.choice(layout.items, 2))
        first, second = _read(content, one, 4), _read(content, other, 4)
        _write(content, one, 4, second)
        _write(content, other, 4, first)


def _resized(rng: Random, content: bytearray, layout: Layout) -> None:
    """Sizes and indices that are huge, zero or negative."""
    for place in rng.choice(layout.items, 1 + int(rng.integers(3))):
        _write(content, int(place), 4, int(rng.choice(_LENGTHS)))


def _multiplied(rng: Random, content: bytearray, layout: Layout) -> None:
    """One size wherever it stands: shapes that fit each other, and are large."""
    size = _read(content, int(rng.choice(layout.items)), 4)
    factor = int(rng.choice((2, 3, 10, 100, 1000, 10000)))
    for place in layout.items:
        if _read(content, place, 4) == size:
            _write(content, place, 4, size * factor)


def _optioned(rng: Random, content: bytearray, layout: Layout) -> None:
    """Names, numbers and types of the options of LCE's operators."""
    if not layout.custom:
        return _numbers(rng, content, layout)
    start, end = layout.custom[int(rng.integers(len(layout.custom)))]
    for _ in range(1 + int(rng.integers(3))):
        _write(content, int(rng.integers(start, end)), 1, int(rng.integers(256)))
    return None


def _cut(rng: Random, content: bytearray, layout: Layout) -> None:
    start = int(rng.integers(8, len(content)))
    del content[start : start + int(rng.integers(1, 1 << int(rng.integers(1, 15))))]


def _truncated(rng: Random, content: bytearray, layout: Layout) -> None:
    del content[int(rng.integers(8, len(content))) :]


def _copied(rng: Random, content: bytearray, layout: Layout) -> None:
    source, target = (int(place) for place in rng.integers(8, len(content) - 64, 2))
    size = int(rng.integers(1, 64))
    content[target : target + size] = content[source : source + size]


def _bits(rng: Random, content: bytearray, layout: Layout) -> None:
    """Anywhere but in the weights, which are rarely zeros."""
    zeros = np.flatnonzero(np.frombuffer(bytes(content), np.uint8)[8:-4] == 0) + 8
    places: NDArray[Any] = rng.choice(zeros, 1 + int(rng.integers(6))) + rng.integers(-3, 4)
    for place in np.clip(places, 8, len(content) - 1):
        content[int(place)] ^= 1 << int(rng.integers(8))


DAMAGES: tuple[Callable[[Random, bytearray, Layout], None], ...] = (
    _numbers,
    _numbers,
    _nudged,
    _nudged,
    _pointed,
    _swapped,
    _swapped,
    _resized,
    _multiplied,
    _optioned,
    _cut,
    _truncated,
    _copied,
    _bits,
)


def damaged(seed: int, number: int) -> tuple[str, bytes]:
    """The name of a file and of what was done to it, and the file."""
    rng = np.random.default_rng([seed, number])
    path = FILES[number % len(FILES)]
    content, done = bytearray(path.read_bytes()), []
    for _ in range(1 if rng.random() < 0.7 else 2):
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        if len(content) > 200:
            damage(rng, content, layout_of(path))
            done.append(damage.__name__)
    return f"{path.stem} {' '.join(done)}", bytes(content)
