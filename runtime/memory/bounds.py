"""Whether all that a kernel will read and write lies in the buffers of its record.

Kernels check nothing. So every record is checked once, when it is bound, from the same numbers
that the kernel will use: counts and distances of its loops, and the bytes of its accesses. A
record that reaches outside would be an error in lowering, or a file that was not checked.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import n_words
from bnnkit.errors import ArtifactError
from bnnkit.runtime.kernels import bit_sliced, panel, product_panel, reals
from bnnkit.runtime.kernels.records import (
    PIXELS,
    AlignRecord,
    BitSlicedRecord,
    CentreRecord,
    ChainRecord,
    ConvolutionRecord,
    DepthwiseRecord,
    LevelRecord,
    Map,
    MoveRecord,
    NibblesRecord,
    NoisyThresholdRecord,
    PackLevelsRecord,
    PackRecord,
    PanelRecord,
    PlaneRecord,
    PooledRealsRecord,
    PoolRecord,
    ProductRecord,
    SamplingRecord,
    SpreadRecord,
)
from bnnkit.runtime.memory.aligned import LINE
from bnnkit.runtime.memory.bit_sliced import planes_for
from bnnkit.runtime.memory.weights import LANES, wide

Array = NDArray[Any]
Steps = Iterable[tuple[int, int]]
"""Count and distance in bytes of each of several nested loops."""

VECTOR = 64
"""Bytes of a vector of sixteen numbers."""
_LIMIT_BYTES = {np.dtype(np.uint64): 8, np.dtype(np.int64): 2}
"""Bytes of a limit of counts, by the dtype of the weights, where they are not 4."""
_STEP_BYTES = {np.dtype(np.int64): 128, np.dtype(np.int16): 64, np.dtype(np.uint32): 128}
"""Bytes of a step of the weights of a block of channels, by their dtype."""
_BYTE = 8
"""Numbers that are packed to, or unpacked from, one byte."""


class PlacedMap(NamedTuple):
    """A `Map`, and the buffer that it describes."""

    map: Map
    buffer: Array


class Addresses(Protocol):
    """What is known of the addresses in records: `Memory`."""

    def array_at(self, address: int) -> Array:
        """Return the array that an address belongs to."""

    def map_at(self, address: int) -> PlacedMap:
        """Return the map that is described at an address."""

    def record_at(self, address: int) -> ConvolutionRecord:
        """Return the convolution that is described at an address."""


def check_record(memory: Addresses, record: NamedTuple) -> None:
    """Check the reach of a record, before its kernel is called for the first time.

    Raises:
        ArtifactError: If it reads or writes outside of its buffers.
    """
    CHECKS[type(record)](memory, record)


def check_reach(buffer: Array, start: int, steps: Steps, size: int) -> None:
    """Check that nested loops over memory stay inside a buffer, with its margin and its slack.

    Args:
        buffer: The array, or a part of it.
        start: Address of the first access.
        steps: The loops.
        size: Bytes of one access.

    Raises:
        ArtifactError: If they do not.
    """
    reaches = [(count - 1) * distance for count, distance in steps if count > 0]
    low = start + sum(reach for reach in reaches if reach < 0)
    high = start + sum(reach for reach in reaches if reach > 0) + size
    whole = buffer
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    first = whole.ctypes.data
    # Memory that NumPy does not own, as under guard pages, has its slack behind the array.
    end = first + whole.nbytes + (0 if whole.base is None else LINE)
    if low < first or high > end:
        raise ArtifactError(
            f"a kernel would access the bytes {low - first} to {high - first} of a buffer of"
            f" {end - first}: this is a fault of bnnkit, please report it with the file"
        )


def check_map(placed: PlacedMap, size: int) -> None:
    """Check that all pixels of a map, of so many bytes each, lie in its buffer.

    Raises:
        ArtifactError: If they do not.
    """
    m = placed.map
    steps = ((m.images, m.image), (m.rows, m.row), (m.columns, m.pixel))
    check_reach(placed.buffer, m.data, steps, size)


def pixel_bytes(placed: PlacedMap, numbers: int = 1) -> int:
    """Return the bytes of a pixel, its numbers rounded up to a multiple of `numbers`."""
    depth = placed.map.depth
    if placed.buffer.dtype == np.uint64:
        return 8 * n_words(depth)
    return _rounded(depth, numbers) * placed.buffer.itemsize


def _rounded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _check_same_pixels(x: PlacedMap, y: PlacedMap) -> None:
    """Check that a kernel that walks over one map finds the same pixels in another."""
    sizes = [(m.images, m.rows, m.columns) for m in (x.map, y.map)]
    if sizes[0] != sizes[1]:
        raise ArtifactError(
            f"a kernel would combine maps of (images, rows, columns) {sizes[0]} and {sizes[1]}:"
            " this is a fault of bnnkit, please report it with the file"
        )


def _check_numbers(memory: Addresses, address: int, size: int) -> None:
    """Check that an array holds so many bytes."""
    check_reach(memory.array_at(address), address, (), size)


def _chain(memory: Addresses, record: ChainRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    _check_same_pixels(x, y)
    size = _rounded(x.map.depth, 16) * 4
    check_map(x, size)
    check_map(y, size)
    for code, operand in memory.array_at(record.operations).tolist():
        if code in (reals.ADD_MAP, reals.SUBTRACT_MAP, reals.MULTIPLY_MAP):
            other = memory.map_at(operand)
            _check_same_pixels(x, other)
            check_map(other, size)
        elif code not in (reals.CAST, reals.ROUND):
            _check_numbers(memory, operand, size)
    if record.signs:
        signs = memory.map_at(record.signs)
        _check_same_pixels(x, signs)
        check_map(signs, -(-x.map.depth // _BYTE))
        _check_numbers(memory, record.zeros, _rounded(x.map.depth, _BYTE) * 4)


def _pack(memory: Addresses, record: PackRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    _check_same_pixels(x, y)
    check_map(x, pixel_bytes(x, _BYTE))
    check_map(y, -(-x.map.depth // _BYTE))
    _check_numbers(memory, record.thresholds, _rounded(x.map.depth, _BYTE) * 4)


def _move(memory: Addresses, record: MoveRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    _check_same_pixels(x, y)
    check_map(x, pixel_bytes(x))
    unpacks = x.buffer.dtype != y.buffer.dtype
    size = _rounded(x.map.depth, _BYTE) * 4 if unpacks else pixel_bytes(x)
    check_map(y, size)


def _pool(memory: Addresses, record: PoolRecord) -> None:
    """The kernels skip pixels outside of the map, so windows may lie anywhere."""
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    if x.map.images != y.map.images or min(record[2:8]) < 1:
        _check_same_pixels(x, y)
    size = pixel_bytes(x, 16)
    check_map(x, size)
    check_map(y, size)


def _product(memory: Addresses, record: ProductRecord) -> None:
    r, rows = record, record.matrices * record.rows
    check_reach(memory.array_at(r.x), r.x, ((rows, r.x_row),), r.words * 8)
    columns = ((r.matrices, r.y_matrix), (r.words, r.y_word))
    check_reach(memory.array_at(r.y), r.y, columns, r.blocks * 64)
    check_reach(memory.array_at(r.sums), r.sums, ((rows, r.sums_row),), r.blocks * 32)


def _depthwise(memory: Addresses, record: DepthwiseRecord) -> None:
    x, y, r = memory.map_at(record.x), memory.map_at(record.y), record
    size = _rounded(y.map.depth, 16) * 4
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
    _check_numbers(memory, r.w, size * r.height * r.width)
    _check_numbers(memory, r.bias, size)


def _bit_sliced(memory: Addresses, record: BitSlicedRecord) -> None:
    r, x, y = record, memory.array_at(record.x), memory.map_at(record.y)
    m = y.map
    _check_numbers(memory, r.offsets, 8 * r.taps)
    last = int(memory.array_at(r.offsets).max())
    steps = ((m.images, r.x_image), (m.rows, r.x_row), (m.columns, r.x_pixel))
    check_reach(x, r.x, steps, last + 8 * _rounded(r.words, bit_sliced.VECTOR_WORDS))
    is_signs = y.buffer.dtype == np.uint64
    check_map(y, 8 * r.words if is_signs else 4 * r.channels)
    _check_numbers(memory, r.w, r.taps * r.w_tap)
    _check_numbers(memory, r.cases, 8 * m.rows * m.columns)
    cases = int(memory.array_at(r.cases).max()) + 1
    size = planes_for(r.taps) * r.w_tap if is_signs else 4 * r.channels
    check_reach(memory.array_at(r.table), r.table, ((cases, r.table_row),), size)
    if r.scale:
        check_reach(memory.array_at(r.scale), r.scale, ((2, r.scale_row),), 4 * r.channels)
    _check_numbers(memory, r.scratch, bit_sliced.SCRATCH)


def _spread(memory: Addresses, record: SpreadRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    _check_same_pixels(x, PlacedMap(y.map._replace(rows=y.map.rows // record.inputs), y.buffer))
    check_map(x, pixel_bytes(x))
    check_map(y, pixel_bytes(y))
    _check_numbers(memory, record.starts, pixel_bytes(x))
    if record.table:
        _check_numbers(memory, record.table, 8 * 256)


def _nibbles(memory: Addresses, record: NibblesRecord) -> None:
    _check_numbers(memory, record.x, 8 * record.words)
    _check_numbers(memory, record.y, 16 * record.words)


def _align(memory: Addresses, record: AlignRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    _check_same_pixels(x, y)
    check_map(x, pixel_bytes(x))
    check_map(y, 8 * record.groups * n_words(x.map.depth // record.groups))


def _centre(memory: Addresses, record: CentreRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    m = x.map
    _check_same_pixels(x, y)
    steps = ((m.images, m.image), (m.rows, m.row), (m.depth, record.channel))
    check_reach(x.buffer, m.data, steps, m.columns)
    check_map(y, m.depth * y.buffer.itemsize)
    _check_numbers(memory, record.zero_point, 4 * m.depth)


def _noise(memory: Addresses, record: NoisyThresholdRecord) -> None:
    size = 4 * 64 * n_words(record.channels)
    for address in (record.thresholds, record.scales, record.slacks):
        _check_numbers(memory, address, size)


def _sampling(memory: Addresses, record: SamplingRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    if (x.map.rows, x.map.columns, x.map.depth) != (y.map.rows, y.map.columns, y.map.depth):
        _check_same_pixels(x, y)
    check_map(x, pixel_bytes(x, 16))
    check_map(y, pixel_bytes(y))
    _check_numbers(memory, record.sources, 8 * y.map.images)


def _convolution(memory: Addresses, record: ConvolutionRecord) -> None:
    r, x, y = record, memory.array_at(record.x), memory.array_at(record.y)
    steps = (
        (r.vectors // r.group_vectors, r.x_group),
        (r.images, r.x_image),
        (r.rows, r.x_row),
        (r.columns, r.x_pixel),
        (r.outer_count, r.outer_step),
        (r.middle_count, r.middle_step),
    )
    check_reach(x, r.x, steps, _rounded(r.run * x.itemsize, 4))
    w = memory.array_at(r.w)
    _check_numbers(
        memory, r.w, r.vectors * r.outer_count * r.middle_count * _weight_bytes(w, r.run)
    )
    pools = _pooled(r, w)
    is_signs = y.dtype == np.uint64
    written = -(-r.vectors * LANES[w.dtype] // _BYTE) if is_signs else r.channels * 4
    results = ((r.images, r.y_image), (r.rows // pools, r.y_row), (r.columns // pools, r.y_pixel))
    check_reach(y, r.y, results, written)
    _check_constants(memory, r, w, is_signs=is_signs)
    pixels = (r.images, r.rows, r.columns)
    for address, strides, size in (
        (r.added, (r.added_image, r.added_row, r.added_pixel), written),
        (r.signs, (r.signs_image, r.signs_row, r.signs_pixel), -(-r.channels // _BYTE)),
    ):
        if address:
            maps = tuple(zip(pixels, strides, strict=True))
            check_reach(memory.array_at(address), address, maps, size)


def _pooled_reals(memory: Addresses, record: PooledRealsRecord) -> None:
    """Check the rows that bands read beyond the ConvolutionRecord, and the scratch of a band."""
    r, c, y = record, memory.record_at(record.convolution), memory.map_at(record.y)
    x = memory.array_at(c.x)
    steps = (
        (y.map.images, c.x_image),
        (r.rows, c.x_row),
        (c.columns, c.x_pixel),
        (c.outer_count, c.outer_step),
        (c.middle_count, c.middle_step),
    )
    check_reach(x, c.x, steps, _rounded(c.run * x.itemsize, 4))
    _check_numbers(memory, c.cases, 8 * r.rows * c.columns)
    lines = min(r.rows, (r.band - 1) * r.down + r.height)
    _check_numbers(memory, c.y, (lines - 1) * c.y_row + c.columns * c.y_pixel)
    check_map(y, 4 * c.channels)


def _panels(memory: Addresses, record: PanelRecord) -> None:
    """Check what a kernel of panels reads beyond its ConvolutionRecord, and its panels."""
    r, c = record, memory.record_at(record.convolution)
    x = memory.array_at(c.x)
    steps = (
        (2, r.right),
        (2, r.down),
        (c.images, c.x_image),
        (c.rows, c.x_row),
        (c.columns, c.x_pixel),
        (c.outer_count, c.outer_step),
        (c.middle_count, c.middle_step),
    )
    check_reach(x, c.x, steps, c.run * x.itemsize)
    pixels = PIXELS if r.right else 1
    _check_numbers(memory, c.cases, 8 * c.rows * c.columns * pixels)
    w = memory.array_at(c.w)
    step = panel.STEP if w.dtype == np.int64 else product_panel.PIXEL_STEP
    size = _rounded(c.outer_count * c.middle_count * c.run * x.itemsize, step)
    _check_numbers(memory, c.w, c.vectors * (size // step) * _STEP_BYTES[w.dtype])
    panels = (r.capacity - 1) * r.panel + panel.HEADER + PIXELS * size
    _check_numbers(memory, r.panels, panels)


def _planes(memory: Addresses, record: PlaneRecord) -> None:
    """Check that all planes are read as the first one is."""
    c = memory.record_at(record.convolution)
    steps = (
        (c.images, c.x_image),
        (c.rows, c.x_row),
        (c.columns, c.x_pixel),
        (c.outer_count, c.outer_step),
        (c.middle_count, c.middle_step),
    )
    for offset, _ in memory.array_at(record.planes).tolist()[: record.count]:
        check_reach(memory.array_at(c.x + offset), c.x + offset, steps, c.run * 8)


def _levels(memory: Addresses, record: LevelRecord) -> None:
    size = 4 * 64 * n_words(record.channels)
    steps = ((record.levels, record.row),)
    check_reach(memory.array_at(record.thresholds), record.thresholds, steps, size)
    _check_numbers(memory, record.flips, size)


def _pack_levels(memory: Addresses, record: PackLevelsRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    _check_same_pixels(x, y)
    check_map(x, pixel_bytes(x, 16))
    check_map(y, pixel_bytes(y))


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
    _check_numbers(memory, r.cases, 8 * r.rows * r.columns)
    if is_signs or w.dtype in (np.uint64, np.uint8, np.int64, np.uint32):
        last = int(memory.array_at(r.cases).max())
        size = channels * (_LIMIT_BYTES.get(w.dtype, 4) if is_signs and not r.noise else 4)
        check_reach(memory.array_at(r.table), r.table, ((last + 1, r.table_row),), size)
    if r.scale:
        check_reach(memory.array_at(r.scale), r.scale, ((2, r.scale_row),), channels * 4)
    if r.scratch:
        _check_numbers(memory, r.scratch, r.scratch_thread)


CHECKS: dict[type[NamedTuple], Callable[[Addresses, Any], None]] = {
    AlignRecord: _align,
    BitSlicedRecord: _bit_sliced,
    CentreRecord: _centre,
    ChainRecord: _chain,
    ConvolutionRecord: _convolution,
    DepthwiseRecord: _depthwise,
    LevelRecord: _levels,
    MoveRecord: _move,
    NibblesRecord: _nibbles,
    NoisyThresholdRecord: _noise,
    PackLevelsRecord: _pack_levels,
    PackRecord: _pack,
    PanelRecord: _panels,
    PlaneRecord: _planes,
    PooledRealsRecord: _pooled_reals,
    PoolRecord: _pool,
    ProductRecord: _product,
    SamplingRecord: _sampling,
    SpreadRecord: _spread,
}
"""The check of each kind of record."""
