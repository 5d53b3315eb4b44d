"""Whether all that a kernel will read and write lies in the buffers of its record.

Kernels check nothing. So every record is checked once, when it is bound, from the same numbers
that the kernel will use: counts and distances of its loops, and the bytes of its accesses. A
record that reaches outside would be an error in lowering, or a file that was not checked.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from bnnkit.artifact.format.bits import n_words
from bnnkit.errors import ArtifactError
from bnnkit.runtime.kernels import reals
from bnnkit.runtime.kernels.records import (
    AlignRecord,
    CentreRecord,
    ChainRecord,
    JoinRecord,
    LayerNormRecord,
    LevelRecord,
    LinesRecord,
    MoveRecord,
    NibblesRecord,
    NoisyThresholdRecord,
    PackLevelsRecord,
    PackRecord,
    PoolRecord,
    ProductRecord,
    SamplingRecord,
    SpreadRecord,
)
from bnnkit.runtime.memory.bounds_of_convolutions import CONVOLUTION_CHECKS
from bnnkit.runtime.memory.reach import (
    BYTE,
    Addresses,
    PlacedMap,
    check_map,
    check_numbers,
    check_reach,
    check_same_pixels,
    pixel_bytes,
    rounded,
)


def check_record(memory: Addresses, record: NamedTuple) -> None:
    """Check the reach of a record, before its kernel is called for the first time.

    Raises:
        ArtifactError: If it reads or writes outside of its buffers.
    """
    CHECKS[type(record)](memory, record)


def _chain(memory: Addresses, record: ChainRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    check_same_pixels(x, y)
    size = rounded(x.map.depth, 16) * 4
    check_map(x, size)
    check_map(y, size)
    for code, operand in memory.array_at(record.operations).tolist():
        if code in (reals.ADD_MAP, reals.SUBTRACT_MAP, reals.MULTIPLY_MAP):
            other = memory.map_at(operand)
            check_same_pixels(x, other)
            check_map(other, size)
        elif code not in (reals.CAST, reals.ROUND):
            check_numbers(memory, operand, size)
    _signs_of_reals(memory, record, x)


def _signs_of_reals(
    memory: Addresses, record: ChainRecord | LayerNormRecord, x: PlacedMap
) -> None:
    if record.signs:
        signs = memory.map_at(record.signs)
        check_same_pixels(x, signs)
        check_map(signs, -(-x.map.depth // BYTE))
        check_numbers(memory, record.zeros, rounded(x.map.depth, BYTE) * 4)


def _layer_norm(memory: Addresses, record: LayerNormRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    check_same_pixels(x, y)
    size = rounded(x.map.depth, 16) * 4
    check_map(x, size)
    check_map(y, size)
    check_numbers(memory, record.scale, size)
    check_numbers(memory, record.bias, size)
    check_numbers(memory, record.epsilon, 4)
    _signs_of_reals(memory, record, x)


def _pack(memory: Addresses, record: PackRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    check_same_pixels(x, y)
    check_map(x, pixel_bytes(x, BYTE))
    check_map(y, -(-x.map.depth // BYTE))
    check_numbers(memory, record.thresholds, rounded(x.map.depth, BYTE) * 4)


def _move(memory: Addresses, record: MoveRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    check_same_pixels(x, y)
    check_map(x, pixel_bytes(x))
    unpacks = x.buffer.dtype != y.buffer.dtype
    size = rounded(x.map.depth, BYTE) * 4 if unpacks else pixel_bytes(x)
    check_map(y, size)


def _join(memory: Addresses, record: JoinRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    check_same_pixels(x, y)
    check_map(x, 8 * n_words(record.first + x.map.depth))
    check_map(y, 8 * n_words(record.bit + x.map.depth))


def _pool(memory: Addresses, record: PoolRecord) -> None:
    """The kernels skip pixels outside of the map, so windows may lie anywhere."""
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    if x.map.images != y.map.images or min(record[2:8]) < 1:
        check_same_pixels(x, y)
    size = pixel_bytes(x, 16)
    check_map(x, size)
    check_map(y, size)


def _lines(memory: Addresses, record: LinesRecord) -> None:
    r, x = record, memory.map_at(record.x)
    check_map(x, pixel_bytes(x))
    check_numbers(memory, r.starts, 16 * r.matrices)
    starts = memory.array_at(r.starts)
    channel, pixel = starts.max(axis=0).tolist()
    ends = channel + r.channels, pixel + r.pixels
    if starts.min() < 0 or ends[0] > x.map.depth or ends[1] > x.map.rows * x.map.columns:
        raise ArtifactError(
            f"a kernel would read up to channel {ends[0]} and pixel {ends[1]} of a map of"
            f" {x.map.depth} channels and {x.map.rows} x {x.map.columns} pixels: this is a fault"
            " of bnnkit, please report it with the file"
        )
    lines, terms = (r.channels, r.pixels) if r.is_of_pixels else (r.pixels, r.channels)
    steps = ((x.map.images, r.y_image), (r.matrices, r.y_matrix), (lines, r.y_line))
    check_reach(memory.array_at(r.y), r.y, (*steps, (n_words(terms), r.y_word)), 8)


def _product(memory: Addresses, record: ProductRecord) -> None:
    r, rows = record, record.matrices * record.rows
    check_reach(memory.array_at(r.x), r.x, ((rows, r.x_row),), r.words * 8)
    columns = ((r.matrices, r.y_matrix), (r.words, r.y_word))
    check_reach(memory.array_at(r.y), r.y, columns, r.blocks * 64)
    check_reach(memory.array_at(r.sums), r.sums, ((rows, r.sums_row),), r.blocks * 32)


def _spread(memory: Addresses, record: SpreadRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    check_same_pixels(x, PlacedMap(y.map._replace(rows=y.map.rows // record.inputs), y.buffer))
    check_map(x, pixel_bytes(x))
    check_map(y, pixel_bytes(y))
    check_numbers(memory, record.starts, pixel_bytes(x))
    if record.table:
        check_numbers(memory, record.table, 8 * 256)


def _nibbles(memory: Addresses, record: NibblesRecord) -> None:
    check_numbers(memory, record.x, 8 * record.words)
    check_numbers(memory, record.y, 16 * record.words)


def _align(memory: Addresses, record: AlignRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    check_same_pixels(x, y)
    check_map(x, pixel_bytes(x))
    check_map(y, 8 * record.groups * n_words(x.map.depth // record.groups))


def _centre(memory: Addresses, record: CentreRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    m = x.map
    check_same_pixels(x, y)
    steps = ((m.images, m.image), (m.rows, m.row), (m.depth, record.channel))
    check_reach(x.buffer, m.data, steps, m.columns)
    check_map(y, m.depth * y.buffer.itemsize)
    check_numbers(memory, record.zero_point, 4 * m.depth)


def _noise(memory: Addresses, record: NoisyThresholdRecord) -> None:
    size = 4 * 64 * n_words(record.channels)
    for address in (record.thresholds, record.scales, record.slacks):
        check_numbers(memory, address, size)


def _sampling(memory: Addresses, record: SamplingRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    if (x.map.rows, x.map.columns, x.map.depth) != (y.map.rows, y.map.columns, y.map.depth):
        check_same_pixels(x, y)
    check_map(x, pixel_bytes(x, 16))
    check_map(y, pixel_bytes(y))
    check_numbers(memory, record.sources, 8 * y.map.images)


def _levels(memory: Addresses, record: LevelRecord) -> None:
    size = 4 * 64 * n_words(record.channels)
    steps = ((record.levels, record.row),)
    check_reach(memory.array_at(record.thresholds), record.thresholds, steps, size)
    check_numbers(memory, record.flips, size)


def _pack_levels(memory: Addresses, record: PackLevelsRecord) -> None:
    x, y = memory.map_at(record.x), memory.map_at(record.y)
    check_same_pixels(x, y)
    check_map(x, pixel_bytes(x, 16))
    check_map(y, pixel_bytes(y))


CHECKS: dict[type[NamedTuple], Callable[[Addresses, Any], None]] = {
    **CONVOLUTION_CHECKS,
    AlignRecord: _align,
    CentreRecord: _centre,
    ChainRecord: _chain,
    JoinRecord: _join,
    LayerNormRecord: _layer_norm,
    LevelRecord: _levels,
    LinesRecord: _lines,
    MoveRecord: _move,
    NibblesRecord: _nibbles,
    NoisyThresholdRecord: _noise,
    PackLevelsRecord: _pack_levels,
    PackRecord: _pack,
    PoolRecord: _pool,
    ProductRecord: _product,
    SamplingRecord: _sampling,
    SpreadRecord: _spread,
}
"""The check of each kind of record."""
