"""Steps of a matrix product of two matrices of signs: packing its operands, and its sums."""

from dataclasses import dataclass
from math import prod

import numpy as np

from bnnkit.runtime.kernels.packed_lines import lines_of_channels, lines_of_pixels
from bnnkit.runtime.kernels.products import LANES, multiply
from bnnkit.runtime.kernels.records import LinesRecord, ProductRecord
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.values import Array, Integers
from bnnkit.runtime.steps.step import KernelCall, kernel_call


@dataclass(frozen=True, kw_only=True)
class PackLines:
    """The rows or columns of A matrices of an image, packed from a map of signs.

    Attributes:
        source: A map of packed signs.
        target: Rows uint64 (A * T, W), or columns uint64 (A * W, S padded to LANES).
        starts: int64 (A, 2), the first channel and the first pixel of each matrix.
        channels: Number of consecutive channels of a matrix.
        pixels: Number of consecutive pixels of a matrix.
        is_of_pixels: Whether a line is one channel of all pixels, not all channels of one pixel.
        are_rows: Whether lines are the rows of the left matrix.
    """

    name: str
    source: str
    target: str
    starts: Integers
    channels: int
    pixels: int
    is_of_pixels: bool
    are_rows: bool

    def bind(self, memory: Memory) -> KernelCall:
        y, matrices = memory.buffers[self.target], len(self.starts)
        image, outer, inner = y.strides
        line, word = (outer, inner) if self.are_rows else (inner, outer)
        record = LinesRecord(
            x=memory.map(self.source),
            starts=memory.address(self.starts),
            matrices=matrices,
            channels=self.channels,
            pixels=self.pixels,
            is_of_pixels=int(self.is_of_pixels),
            y=memory.address(y),
            y_image=image,
            y_matrix=y.shape[1] // matrices * outer,
            y_line=line,
            y_word=word,
        )
        kernel = lines_of_pixels if self.is_of_pixels else lines_of_channels
        return kernel_call(kernel, memory, record)


@dataclass(frozen=True, kw_only=True)
class SignProduct:
    """The sums of x @ y for each of A matrices of an image.

    Attributes:
        source: The packed rows of x, uint64 (A * T, W); None for one row of +1.
        columns: The packed columns of y, uint64 (A * W, S padded to LANES).
        target: The sums, int32 (A * T, S padded to LANES), or (..., T, S) with channels last.
        matrices: A.
        terms: K, the length of the sums.
    """

    name: str
    source: str | None
    columns: str
    target: str
    matrices: int
    terms: int

    def bind(self, memory: Memory) -> KernelCall:
        y, sums = memory.buffers[self.columns], memory.buffers[self.target]
        words, images = y.shape[1] // self.matrices, len(y)
        rows = prod(sums.shape[1:-1]) // self.matrices
        x = self._ones(words) if self.source is None else memory.buffers[self.source]
        record = ProductRecord(
            x=memory.address(x),
            y=memory.address(y),
            sums=memory.address(sums),
            matrices=images * self.matrices,
            rows=rows,
            words=words,
            blocks=y.shape[2] // LANES,
            terms=self.terms,
            x_row=0 if self.source is None else x.strides[1],
            y_word=y.strides[1],
            y_matrix=words * y.strides[1],
            sums_row=sums.strides[-2],
        )
        return kernel_call(multiply, memory, record)

    @staticmethod
    def _ones(words: int) -> Array:
        return np.zeros((1, 1, words), np.uint64)
