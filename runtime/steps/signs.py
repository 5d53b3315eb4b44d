"""Steps that pack, unpack, copy and pool signs."""

from dataclasses import dataclass

import numpy as np

from bnnkit.runtime.kernels import signs as kernels
from bnnkit.runtime.kernels.lookup import unpack_nibbles
from bnnkit.runtime.kernels.records import (
    AlignRecord,
    JoinRecord,
    Map,
    MoveRecord,
    NibblesRecord,
    PackRecord,
    PoolRecord,
)
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.memory.weights import padded
from bnnkit.runtime.steps.step import KernelCall, kernel_call
from bnnkit.runtime.steps.window import KernelWindow


@dataclass(frozen=True, kw_only=True)
class PackSigns:
    """Packed signs of reals or sums: +1 where value >= threshold.

    Attributes:
        thresholds: (C,), float32 or int32 as the source; zeros for a plain sign.
    """

    name: str
    source: str
    target: str
    thresholds: Array

    def bind(self, memory: Memory) -> KernelCall:
        thresholds = memory.address(padded(self.thresholds))
        record = PackRecord(memory.map(self.source), memory.map(self.target), thresholds)
        is_integer = self.thresholds.dtype == np.int32
        kernel = kernels.pack_sums if is_integer else kernels.pack_reals
        return kernel_call(kernel, memory, record)


@dataclass(frozen=True, kw_only=True)
class UnpackSigns:
    """Packed signs converted to float32 -1 and +1."""

    name: str
    source: str
    target: str

    def bind(self, memory: Memory) -> KernelCall:
        record = MoveRecord(memory.map(self.source), memory.map(self.target))
        return kernel_call(kernels.unpack, memory, record)


@dataclass(frozen=True, kw_only=True)
class PoolSigns:
    """Max-pooling of packed signs."""

    name: str
    source: str
    target: str
    window: KernelWindow

    def bind(self, memory: Memory) -> KernelCall:
        fields = self.window.fields
        record = PoolRecord(memory.map(self.source), memory.map(self.target), *fields)
        return kernel_call(kernels.max_pool, memory, record)


@dataclass(frozen=True, kw_only=True)
class AlignGroups:
    """A copy of packed signs in which the channels of each group start at a word."""

    name: str
    source: str
    target: str
    groups: int

    def bind(self, memory: Memory) -> KernelCall:
        record = AlignRecord(memory.map(self.source), memory.map(self.target), self.groups)
        return kernel_call(kernels.align_groups, memory, record)


@dataclass(frozen=True, kw_only=True)
class UnpackNibbles:
    """Packed signs unpacked to the nibbles that table-lookup kernels read, margin included."""

    name: str
    source: str
    target: str

    def bind(self, memory: Memory) -> KernelCall:
        words, nibbles = memory.buffers[self.source], memory.buffers[self.target]
        record = NibblesRecord(
            memory.place(words, words), memory.place(nibbles, nibbles), words.size
        )
        return kernel_call(unpack_nibbles, memory, record)


@dataclass(frozen=True, kw_only=True)
class CopySigns:
    """A copy of packed signs inside a larger map, whose other pixels and channels stay +1.

    Attributes:
        top: First row of the copy, in pixels.
        left: First column of the copy.
        spacing: Steps between the pixels of the copy, vertical and horizontal.
        first_channel: First channel of the copy.
        part: First channel and number of channels that are copied; None for all.
    """

    name: str
    source: str
    target: str
    top: int = 0
    left: int = 0
    spacing: tuple[int, int] = (1, 1)
    first_channel: int = 0
    part: tuple[int, int] | None = None

    def bind(self, memory: Memory) -> KernelCall:
        first, depth = self.part or (0, memory.values[self.source].map[0])
        down, right = self.spacing
        source = memory.stored(self.source)
        place = memory.stored(self.target)[:, self.top :: down, self.left :: right]
        shape = (*source.shape[:3], depth)
        x = _from_word(memory, self.source, source, shape, first // 64)
        y = _from_word(memory, self.target, place, shape, self.first_channel // 64)
        bits = first % 64, self.first_channel % 64
        if any(bits) or (self.part and depth % 64):  # bits of other channels stay behind
            return kernel_call(kernels.join_signs, memory, JoinRecord(x, y, *bits))
        return kernel_call(kernels.copy_signs, memory, MoveRecord(x, y))


def _from_word(memory: Memory, name: str, pixels: Array, shape: tuple[int, ...], word: int) -> int:
    """Describe some channels of a view of packed signs, from a word on."""
    image, row, pixel, _ = pixels.strides
    images, rows, columns, depth = shape
    data = int(pixels.ctypes.data) + 8 * word
    described = Map(data, image, row, pixel, images, rows, columns, depth)
    return memory.map_in(memory.buffers[name], described)
