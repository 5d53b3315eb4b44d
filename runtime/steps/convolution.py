"""Step of a convolution or a dense layer, with its epilogue."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.runtime.kernels import convolution as kernels
from bnnkit.runtime.kernels import panel_convolution as panel_kernels
from bnnkit.runtime.kernels.lookup import TABLE
from bnnkit.runtime.kernels.program import Kernel
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord, PanelRecord
from bnnkit.runtime.kernels.stochastic import LANES as NOISE_LANES
from bnnkit.runtime.kernels.stochastic import PARTS
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.values import Array, as_map
from bnnkit.runtime.memory.weights import LANES, padded_channels, wide
from bnnkit.runtime.steps.panels import panel_record, pooled_record
from bnnkit.runtime.steps.step import KernelCall, kernel_call
from bnnkit.runtime.steps.stochastic import StochasticThreshold
from bnnkit.runtime.steps.window import KernelWindow

WORDS, NIBBLES = np.dtype(np.uint64), np.dtype(np.uint8)
FLOATS, OCTETS = np.dtype(np.float32), np.dtype(np.int8)
PAIRS, PANELS = np.dtype(np.int32), np.dtype(np.int64)
SHORTS, QUADS = np.dtype(np.int16), np.dtype(np.uint32)
IN_PANELS = PANELS, SHORTS, QUADS
KERNELS: dict[tuple[np.dtype[Any], str], Kernel] = {
    (WORDS, "signs"): kernels.words_to_signs,
    (WORDS, "pooled signs"): kernels.words_to_pooled_signs,
    (WORDS, "sampled signs"): kernels.words_to_sampled_signs,
    (WORDS, "sampled pooled signs"): kernels.words_to_sampled_pooled_signs,
    (WORDS, "sums"): kernels.words_to_sums,
    (WORDS, "real"): kernels.words_to_reals,
    (WORDS, "added real"): kernels.words_to_added_reals,
    (NIBBLES, "added real"): kernels.lookup_to_added_reals,
    (NIBBLES, "signs"): kernels.lookup_to_signs,
    (NIBBLES, "pooled signs"): kernels.lookup_to_pooled_signs,
    (NIBBLES, "sampled signs"): kernels.lookup_to_sampled_signs,
    (NIBBLES, "sampled pooled signs"): kernels.lookup_to_sampled_pooled_signs,
    (NIBBLES, "sums"): kernels.lookup_to_sums,
    (NIBBLES, "real"): kernels.lookup_to_reals,
    (PANELS, "signs"): panel_kernels.panels_to_signs,
    (PANELS, "pooled signs"): panel_kernels.panels_to_pooled_signs,
    (PANELS, "sampled signs"): panel_kernels.panels_to_sampled_signs,
    (PANELS, "sampled pooled signs"): panel_kernels.panels_to_sampled_pooled_signs,
    (PANELS, "sums"): panel_kernels.panels_to_sums,
    (PANELS, "real"): panel_kernels.panels_to_reals,
    (SHORTS, "signs"): panel_kernels.shorts_to_signs,
    (SHORTS, "sums"): panel_kernels.shorts_to_sums,
    (SHORTS, "real"): panel_kernels.shorts_to_reals,
    (QUADS, "signs"): panel_kernels.quads_to_signs,
    (QUADS, "sums"): panel_kernels.quads_to_sums,
    (QUADS, "real"): panel_kernels.quads_to_reals,
    (PAIRS, "signs"): kernels.pairs_to_signs,
    (PAIRS, "sums"): kernels.pairs_to_sums,
    (PAIRS, "real"): kernels.pairs_to_reals,
    (OCTETS, "real"): kernels.octets_to_reals,
    (FLOATS, "signs"): kernels.floats_to_signs,
    (FLOATS, "sums"): kernels.floats_to_sums,
    (FLOATS, "real"): kernels.floats_to_reals,
}
"""Kernel by the dtype of the weights and the kind of output."""
CACHE_LINE = 64
"""Bytes of a cache line."""
NO_LIMITS = (-(2**31), 2**31 - 1)
"""Bounds that no sum reaches."""


@dataclass(frozen=True, kw_only=True)
class EpilogueConstants:
    """Constants that turn an accumulator into an output (kernels/epilogue.py).

    Attributes:
        table: (border cases, channels padded to vectors): limits, bases or thresholds.
        scale: float32 (2, padded channels), scale and bias of real outputs.
        limits: Lower and upper bound to which sums of signs are clipped before scaling.
        sums: int64 (border cases, channels), the sum of signs if none differs; part of the table.
        shift: Integer that the table adds to them.
        thresholds: (channels,), +1 where the sum reaches it; part of the table.
    """

    table: Array
    scale: Array | None = None
    limits: tuple[int, int] = NO_LIMITS
    sums: Array | None = None
    shift: int = 0
    thresholds: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A convolution, or one group of it. The kind of the target selects the kind of output.

    Attributes:
        window: Geometry of the kernel.
        weights: In the layout of `weights.lanes`.
        channels: Number of output channels.
        elements: Number of words, nibbles or channels that a group reads from a pixel.
        first_element: Index of the first of them in the pixel.
        first_channel: First output channel.
        constants: Constants of the epilogue.
        cases: int64 (OH, OW), the table row of each output pixel.
        pools: Whether 2x2 max-pooling follows: of the signs, or of the sums of stochastic signs.
        noise: Thresholds and noise of stochastic signs.
        groups: Number of groups, each of whole vectors of channels.
        group_elements: Elements of a pixel from the start of one group to the next.
        added: Name of a map of reals that is added to those of the convolution, or None.
        signs: Name of the value that receives the signs of the result, or None.
    """

    name: str
    source: str
    target: str
    window: KernelWindow
    weights: Array
    channels: int
    elements: int
    first_element: int
    first_channel: int
    constants: EpilogueConstants
    cases: NDArray[np.int64]
    pools: bool = False
    noise: StochasticThreshold | None = None
    groups: int = 1
    group_elements: int = 0
    added: str | None = None
    signs: str | None = None

    def bind(self, memory: Memory) -> KernelCall:
        kernel = KERNELS[self.weights.dtype, self._output(memory)]
        record = self.record(memory)
        if self.weights.dtype in IN_PANELS:
            return kernel_call(kernel, memory, self._panels(memory, record))
        if self.noise is not None:
            record = self._with_noise(memory, record, self.noise)
        elif self.pools:
            size = 2 * record.columns * wide(self.weights.dtype) * record.y_vector
            record = self.with_scratch(memory, record, size)
        return kernel_call(kernel, memory, record)

    def _output(self, memory: Memory) -> str:
        """Return the kind of output that selects the kernel."""
        if self.noise is not None:
            return "sampled pooled signs" if self.pools else "sampled signs"
        if self.added is not None:
            return "added real"
        return "pooled signs" if self.pools else memory.values[self.target].kind

    def _panels(self, memory: Memory, record: ConvolutionRecord) -> PanelRecord:
        """Return the record of a kernel that packs pixels into panels."""
        if self.pools:
            record = pooled_record(record, self.cases, memory)
        if self.noise is not None:
            record = self._with_noise(memory, record, self.noise)
        is_map = self.window.output != (1, 1)
        x = memory.array_at(record.x)
        return panel_record(memory, record, x.itemsize, pools=self.pools, is_map=is_map)

    def _with_noise(
        self, memory: Memory, record: ConvolutionRecord, noise: StochasticThreshold
    ) -> ConvolutionRecord:
        """Complete the record for stochastic signs, whose int32 sums go to a scratch buffer."""
        lanes = LANES[self.weights.dtype]
        channels = max(wide(self.weights.dtype) * lanes, PARTS * NOISE_LANES)
        rows = 2 if self.pools and self.weights.dtype != PANELS else 1
        size = rows * record.columns * channels * 4
        is_map = self.window.output != (1, 1)
        columns = self.window.output[1] // (2 if self.pools else 1) if is_map else 0
        record = record._replace(y_vector=lanes * 4, noise=noise.bind(memory, columns))
        return self.with_scratch(memory, record, size)

    def with_scratch(
        self, memory: Memory, record: ConvolutionRecord, size: int
    ) -> ConvolutionRecord:
        """Add `size` bytes of scratch for each thread to a record."""
        size = -(-size // CACHE_LINE) * CACHE_LINE  # threads must not share a cache line
        scratch = np.zeros(memory.threads * size, np.uint8)
        return record._replace(scratch=memory.address(scratch), scratch_thread=size)

    def record(self, memory: Memory) -> ConvolutionRecord:
        """Return the arguments of the kernel, without noise and scratch."""
        x, y = memory.stored(self.source), memory.stored(self.target)
        lanes = LANES[self.weights.dtype]
        vectors = -(-self.channels // lanes)
        bits = memory.values[self.target].kind == "signs"
        start = self.first_channel // 8 if bits else self.first_channel * y.itemsize
        table, scale = self.constants.table, self.constants.scale
        rows, columns = self.window.output
        record = ConvolutionRecord(
            images=len(x),
            rows=rows,
            columns=columns,
            **self.input_fields(memory),
            w=memory.address(self.weights),
            w_vector=self.weights.nbytes // vectors,
            table=memory.address(table),
            table_row=table.strides[0],
            scale=0 if scale is None else memory.address(scale),
            scale_row=0 if scale is None else scale.strides[0],
            least=self.constants.limits[0],
            most=self.constants.limits[1],
            cases=memory.address(self.cases),
            y=memory.place(memory.buffers[self.target], y, start),
            y_image=y.strides[0],
            y_row=y.strides[1],
            y_pixel=y.strides[2],
            y_vector=lanes // 8 if bits else lanes * y.itemsize,
            vectors=vectors,
            group_vectors=vectors // self.groups,
            channels=padded_channels(self.channels, 16),
            lookup=memory.address(TABLE),
            scratch=0,
            scratch_thread=0,
            noise=0,
            **self._place(memory, "added", self.added),
            **self._place(memory, "signs", self.signs),
        )
        return record if rows * columns > 1 else self._batch_as_columns(memory, record)

    def _place(self, memory: Memory, field: str, name: str | None) -> dict[str, int]:
        """Return the fields of the record that locate the pixels of a map."""
        if name is None:
            address, image, row, pixel = 0, 0, 0, 0
        else:
            stored = memory.stored(name)
            address = memory.place(memory.buffers[name], stored)
            image, row, pixel, _ = stored.strides
        return {
            field: address,
            f"{field}_image": image,
            f"{field}_row": row,
            f"{field}_pixel": pixel,
        }

    def _batch_as_columns(self, memory: Memory, record: ConvolutionRecord) -> ConvolutionRecord:
        """Lay out a batch of single pixels as columns, so that a tile spans several images."""
        return record._replace(
            images=1,
            columns=record.images,
            x_pixel=record.x_image,
            y_pixel=record.y_image,
            cases=memory.address(np.zeros(record.images, np.int64)),
        )

    def input_fields(self, memory: Memory) -> dict[str, int]:
        """Return the fields of the record that locate the taps."""
        x, margin = as_map(memory.buffers[self.source]), memory.values[self.source].margin
        (height, width), (down, right) = self.window.size, self.window.stride
        top, left = self.window.padding
        # Kernel columns form one run if nothing lies between them in memory.
        is_run = self.window.dilation[1] == 1 and self.elements * x.itemsize == x.strides[2]
        is_run = is_run and self.weights.dtype != OCTETS  # each pixel has a whole number of octets
        offset = (margin.top - top) * x.strides[1] + (margin.left - left) * x.strides[2]
        return {
            "x": memory.place(x, x, offset + self.first_element * x.itemsize),
            "x_image": x.strides[0],
            "x_row": down * x.strides[1],
            "x_pixel": right * x.strides[2],
            "x_group": self.group_elements * x.itemsize,
            "outer_count": height,
            "outer_step": self.window.dilation[0] * x.strides[1],
            "middle_count": 1 if is_run else width,
            "middle_step": self.window.dilation[1] * x.strides[2],
            "run": width * self.elements if is_run else self.elements,
        }
