"""Whether all that kernels of convolutions read and write lies in buffers (bounds.py)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bnnkit.runtime.kernels import bit_sliced, panel, product_panel
from bnnkit.runtime.kernels.records import PIXELS
from bnnkit.runtime.kernels.records_of_convolutions import (
    BitSlicedRecord,
    ConvolutionRecord,
    DepthwiseRecord,
    PanelRecord,
    PlaneRecord,
    PooledRealsRecord,
)
from bnnkit.runtime.memory.bit_sliced import planes_for
from bnnkit.runtime.memory.reach import (
    BYTE,
    Addresses,
    Array,
    check_map,
    check_numbers,
    check_reach,
    rounded,
)
from bnnkit.runtime.memory.weights import LANES, wide

VECTOR = 64
"""Bytes of a vector of sixteen numbers."""
_LIMIT_BYTES = {np.dtype(np.uint64): 8, np.dtype(np.int64): 2}
"""Bytes of a limit of counts, by the dtype of the weights, where they are not 4."""
_STEP_BYTES = {np.dtype(np.int64): 128, np.dtype(np.int16): 64, np.dtype(np.uint32): 128}
"""Bytes of a step of the weights of a block of channels, by their dtype."""


def _loops(c: ConvolutionRecord) -> tuple[tuple[int, int], ...]:
    """Return the loops of a convolution over its pixels and its taps."""
    return (
        (c.images, c.x_image),
        (c.rows, c.x_row),
        (c.columns, c.x_pixel),
        (c.outer_count, c.outer_step),
        (c.middle_count, c.middle_step),
    )


def _convolution(memory: Addresses, record: ConvolutionRecord) -> None:
    r, x, y = record, memory.array_at(record.x), memory.array_at(record.y)
    steps = ((r.vectors // r.group_vectors, r.x_group), *_loops(r))
    check_reach(x, r.x, steps, rounded(r.run * x.itemsize, 4))
    w = memory.array_at(r.w)
    check_numbers(
        memory, r.w, r.vectors * r.outer_count * r.middle_count * _weight_bytes(w, r.run)
    )
    pools = _pooled(r, w)
    is_signs = y.dtype == np.uint64
    written = -(-r.vectors * LANES[w.dtype] // BYTE) if is_signs else r.channels * 4
    results = ((r.images, r.y_image), (r.rows // pools, r.y_row), (r.columns // pools, r.y_pixel))
    check_reach(y, r.y, results, written)
    _check_constants(memory, r, w, is_signs=is_signs)
    pixels = (r.images, r.rows, r.columns)
    for address, strides, size in (
        (r.added, (r.added_image, r.added_row, r.added_pixel), written),
        (r.signs, (r.signs_image, r.signs_row, r.signs_pixel), -(-r.channels // BYTE)),
    ):
        if address:
            maps = tuple(zip(pixels, strides, strict=True))
            check_reach(memory.array_at(address), address, maps, size)


def _pooled_reals(memory: Addresses, record: PooledRealsRecord) -> None:
    """Check the rows that bands read beyond the ConvolutionRecord, and the scratch of a band."""
    r, c, y = record, memory.record_at(record.convolution), memory.map_at(record.y)
    x = memory.array_at(c.x)
    steps = _loops(c._replace(images=y.map.images, rows=r.rows))
    check_reach(x, c.x, steps, rounded(c.run * x.itemsize, 4))
    check_numbers(memory, c.cases, 8 * r.rows * c.columns)
    lines = min(r.rows, (r.band - 1) * r.down + r.height)
    check_numbers(memory, c.y, (lines - 1) * c.y_row + c.columns * c.y_pixel)
    check_map(y, 4 * c.channels)


def _panels(memory: Addresses, record: PanelRecord) -> None:
    """Check what a kernel of panels reads beyond its ConvolutionRecord, and its panels."""
    r, c = record, memory.record_at(record.convolution)
    x = memory.array_at(c.x)
    steps = ((2, r.right), (2, r.down), *_loops(c))
    check_reach(x, c.x, steps, c.run * x.itemsize)
    pixels = PIXELS if r.right else 1
    check_numbers(memory, c.cases, 8 * c.rows * c.columns * pixels)
    w = memory.array_at(c.w)
    step = panel.STEP if w.dtype == np.int64 else product_panel.PIXEL_STEP
    size = rounded(c.outer_count * c.middle_count * c.run * x.itemsize, step)
    check_numbers(memory, c.w, c.vectors * (size // step) * _STEP_BYTES[w.dtype])
    panels = (r.capacity - 1) * r.panel + panel.HEADER + PIXELS * size
    check_numbers(memory, r.panels, panels)


def _planes(memory: Addresses, record: PlaneRecord) -> None:
    """Check that all planes are read as the first one is."""
    c = memory.record_at(record.convolution)
    steps = _loops(c)
    for offset, _ in memory.array_at(record.planes).tolist()[: record.count]:
        check_reach(memory.array_at(c.x + offset), c.x + offset, steps, c.run * 8)


def _depthwise(memory: Addresses, record: DepthwiseRecord) -> None:
    x, y, r = memory.map_at(record.x), memory.map_at(record.y), record
    size = rounded(y.map.depth, 16) * 4
    start = x.map.data - r.top * x.map.row - r.left * x.map.pixel
    steps = (
        (y.map.images, x.map.image),
        (y.map.rows, r.down * x.map.row),
        (y.map.columns, r.right * x.map.pixel),
        (r.height, r.row_step * x.map.row),
        (r.width, r.column_step * x.map.pixel),
    )
    check_reach(x.buffer, start, steps, size)
    check_map(y, size)
    check_numbers(memory, r.w, size * r.height * r.width)
    check_numbers(memory, r.bias, size)


def _bit_sliced(memory: Addresses, record: BitSlicedRecord) -> None:
    r, x, y = record, memory.array_at(record.x), memory.map_at(record.y)
    m = y.map
    check_numbers(memory, r.offsets, 8 * r.taps)
    last = int(memory.array_at(r.offsets).max())
    steps = ((m.images, r.x_image), (m.rows, r.x_row), (m.columns, r.x_pixel))
    check_reach(x, r.x, steps, last + 8 * rounded(r.words, bit_sliced.VECTOR_WORDS))
    is_signs = y.buffer.dtype == np.uint64
    check_map(y, 8 * r.words if is_signs else 4 * r.channels)
    check_numbers(memory, r.w, r.taps * r.w_tap)
    check_numbers(memory, r.cases, 8 * m.rows * m.columns)
    cases = int(memory.array_at(r.cases).max()) + 1
    size = planes_for(r.taps) * r.w_tap if is_signs else 4 * r.channels
    check_reach(memory.array_at(r.table), r.table, ((cases, r.table_row),), size)
    if r.scale:
        check_reach(memory.array_at(r.scale), r.scale, ((2, r.scale_row),), 4 * r.channels)
    check_numbers(memory, r.scratch, bit_sliced.SCRATCH)


def _weight_bytes(w: Array, run: int) -> int:
    """Return the bytes of the weights of one vector of channels, for a run of inputs."""
    if w.dtype == np.uint8:
        return run * LANES[w.dtype]
    if w.dtype == np.int8:
        return -(-run // 8) * 16
    if w.dtype in (np.int16, np.uint32):
        return run * 32  # at least: `_panels` counts the steps
    return (-(-run // 2) if w.dtype == np.int32 else run) * VECTOR


def _pooled(r: ConvolutionRecord, w: Array) -> int:
    """Return how many rows and columns of sums give one of signs: 2 with max-pooling, else 1."""
    if not r.scratch:
        return 1
    if not r.noise:
        return 2
    channels = max(wide(w.dtype), VECTOR // LANES[w.dtype])
    return r.scratch_thread // (r.columns * channels * r.y_vector)


def _check_constants(memory: Addresses, r: ConvolutionRecord, w: Array, *, is_signs: bool) -> None:
    """Check the table of the epilogue, the number of its row for each pixel, and the scale."""
    channels = r.vectors * LANES[w.dtype]
    check_numbers(memory, r.cases, 8 * r.rows * r.columns)
    if is_signs or w.dtype in (np.uint64, np.uint8, np.int64, np.uint32):
        last = int(memory.array_at(r.cases).max())
        size = channels * (_LIMIT_BYTES.get(w.dtype, 4) if is_signs and not r.noise else 4)
        check_reach(memory.array_at(r.table), r.table, ((last + 1, r.table_row),), size)
    if r.scale:
        check_reach(memory.array_at(r.scale), r.scale, ((2, r.scale_row),), channels * 4)
    if r.scratch:
        check_numbers(memory, r.scratch, r.scratch_thread)


CONVOLUTION_CHECKS: dict[type[NamedTuple], Callable[[Addresses, Any], None]] = {
    BitSlicedRecord: _bit_sliced,
    ConvolutionRecord: _convolution,
    DepthwiseRecord: _depthwise,
    PanelRecord: _panels,
    PlaneRecord: _planes,
    PooledRealsRecord: _pooled_reals,
}
"""The check of each kind of record of a convolution."""
