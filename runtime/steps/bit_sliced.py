"""Steps of binary convolutions of small groups (kernels/bit_sliced.py)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import n_words, pack_signs
from bnnkit.runtime.kernels import bit_sliced as kernels
from bnnkit.runtime.kernels.program import Kernel
from bnnkit.runtime.kernels.records import SpreadRecord
from bnnkit.runtime.kernels.records_of_convolutions import BitSlicedRecord
from bnnkit.runtime.kernels.spread_groups import spread_groups
from bnnkit.runtime.memory import aligned
from bnnkit.runtime.memory.bit_sliced import byte_table
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.memory.weights import padded_channels
from bnnkit.runtime.steps.convolution import EpilogueConstants
from bnnkit.runtime.steps.step import KernelCall, kernel_call
from bnnkit.runtime.steps.window import KernelWindow

BYTE_BITS = 8
KERNELS: dict[str, Kernel] = {
    "signs": kernels.bit_slices_to_signs,
    "sums": kernels.bit_slices_to_sums,
    "real": kernels.bit_slices_to_reals,
}
"""Kernel by the kind of output."""


@dataclass(frozen=True, kw_only=True)
class BitSlicedConvolution:
    """All groups of a binary convolution. The kind of the target selects the output.

    Attributes:
        window: Geometry of the kernel.
        weights: In the layout of `tap_words` (memory/bit_sliced.py); taps in the order of kernel
            rows, kernel columns and inputs of a group.
        channels: Number of output channels.
        inputs: Number of inputs of a group, for each of which a row of the source has a row.
        constants: Constants of the epilogue; for signs, the table holds `limit_planes`.
        cases: int64 (OH, OW), the table row of each output pixel.
    """

    name: str
    source: str
    target: str
    window: KernelWindow
    weights: NDArray[np.uint64]
    channels: int
    inputs: int
    constants: EpilogueConstants
    cases: NDArray[np.int64]

    def bind(self, memory: Memory) -> KernelCall:
        x = memory.stored(self.source)
        buffer = memory.buffers[self.source]
        (down, right), (top, left) = self.window.stride, self.window.padding
        image, row, pixel, _ = x.strides
        table, scale = self.constants.table, self.constants.scale
        words = n_words(self.channels)
        scratch = aligned.zeros((memory.threads * kernels.SCRATCH,), np.dtype(np.uint8))
        record = BitSlicedRecord(
            x=memory.place(buffer, x, -top * self.inputs * row - left * pixel),
            x_image=image,
            x_row=down * self.inputs * row,
            x_pixel=right * pixel,
            taps=len(self.weights),
            offsets=memory.address(self._offsets(row, pixel)),
            words=words,
            w=memory.address(self.weights),
            w_tap=self.weights.strides[0],
            phase=kernels.VECTOR_WORDS % words,
            table=memory.address(table),
            table_row=table.strides[0],
            scale=0 if scale is None else memory.address(scale),
            scale_row=0 if scale is None else scale.strides[0],
            least=self.constants.limits[0],
            most=self.constants.limits[1],
            cases=memory.address(self.cases),
            y=memory.map(self.target),
            channels=padded_channels(self.channels, 16),
            scratch=memory.address(scratch),
        )
        return kernel_call(KERNELS[memory.values[self.target].kind], memory, record)

    def _offsets(self, row: int, pixel: int) -> Array:
        """Return the bytes from the first tap to each tap."""
        (height, width), (down, right) = self.window.size, self.window.dilation
        rows = np.arange(height)[:, None, None] * down * self.inputs * row
        columns = np.arange(width)[:, None] * right * pixel
        offsets = rows + columns + np.arange(self.inputs) * row
        return np.ascontiguousarray(offsets.reshape(-1), np.int64)


@dataclass(frozen=True, kw_only=True)
class SpreadGroups:
    """Signs of groups spread to the bits of their outputs: a row for each input of a group.

    Attributes:
        groups: Number of groups.
        inputs: Number of input channels of a group; outputs likewise.
    """

    name: str
    source: str
    target: str
    groups: int
    inputs: int
    outputs: int

    def bind(self, memory: Memory) -> KernelCall:
        starts = np.ones((self.groups, self.inputs), np.int8)
        starts[:, 0] = -1
        record = SpreadRecord(
            memory.map(self.source),
            memory.map(self.target),
            self.groups,
            self.inputs,
            self.outputs,
            memory.address(pack_signs(starts.reshape(-1))),
            memory.address(byte_table(self.outputs)) if self._has_table else 0,
        )
        return kernel_call(spread_groups, memory, record)

    @property
    def _has_table(self) -> bool:
        return self.inputs == 1 and self.outputs <= BYTE_BITS
