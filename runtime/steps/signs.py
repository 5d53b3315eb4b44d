"""Steps that make, move and unpack signs."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from bnnkit.runtime.kernels import signs as kernels
from bnnkit.runtime.steps.step import Values, over_images
from bnnkit.runtime.threads import Part
from bnnkit.runtime.values import Array, Buffers, as_map

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class PackSigns:
    """Signs of reals or sums: +1 where value >= threshold.

    Attributes:
        thresholds: (C,), zeros for the plain sign.
    """

    name: str
    source: str
    target: str
    thresholds: Array

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        source, target = values[self.source], values[self.target]
        x = source.interior(as_map(buffers[self.source]))
        out = target.interior(buffers[self.target]).view(np.uint8)
        kernel = partial(kernels.pack_below, x, self.thresholds, out, source.map[0])
        return over_images(kernel, len(x), threads)


@dataclass(frozen=True, kw_only=True)
class UnpackSigns:
    """Signs as the real numbers -1.0 and +1.0."""

    name: str
    source: str
    target: str

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        words = values[self.source].interior(buffers[self.source])
        out = as_map(buffers[self.target])
        return over_images(partial(kernels.unpack, words, out), len(words), threads)


@dataclass(frozen=True, kw_only=True)
class PoolSigns:
    """Maximum over windows of signs."""

    name: str
    source: str
    target: str
    size: Pair
    stride: Pair
    dilation: Pair
    padding: Pair

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        words = values[self.source].interior(buffers[self.source])
        out = values[self.target].interior(buffers[self.target])
        geometry = (self.size, self.stride, self.dilation, self.padding)
        return over_images(partial(kernels.max_pool, words, out, *geometry), len(words), threads)


@dataclass(frozen=True, kw_only=True)
class AlignGroups:
    """The channels of each group of a convolution at the start of a word."""

    name: str
    source: str
    target: str
    groups: int

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        words = values[self.source].interior(buffers[self.source])
        out = values[self.target].interior(buffers[self.target])
        group_channels = values[self.source].map[0] // self.groups
        kernel = partial(kernels.align_groups, words, out, self.groups, group_channels)
        return over_images(kernel, len(words), threads)


@dataclass(frozen=True, kw_only=True)
class CopySigns:
    """The same signs at a place inside a larger map, whose other pixels stay +1."""

    name: str
    source: str
    target: str
    top: int
    left: int

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        words = values[self.source].interior(buffers[self.source])
        out = values[self.target].interior(buffers[self.target])
        place = out[:, self.top :, self.left :][:, : words.shape[1], : words.shape[2]]
        return [partial(np.copyto, place, words)]
