"""Kernels of activations with few bits: from sums or reals to bit planes of packed signs.

The level of a number x is the count of its thresholds T_1 .. T_L that x reaches. With L = 2^b - 1
it has b bits, and plane j holds bit j: -1 where the bit is clear. Let m_l be the mask of the lanes
with x < T_l. Plane j is -1 where the count of l that are multiples of 2^j with m_l set is odd,
because an odd number of thresholds takes part. With L = 2 the planes are m_1 and m_2.
"""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.maps import partition_rows, row_at
from bnnkit.runtime.kernels.records import LevelRecord, Map, PackLevelsRecord, read
from bnnkit.runtime.kernels.signs import REALS, SUMS
from bnnkit.runtime.kernels.vectors import F32, I16, I32, I64, constant, load, store, valid_lanes

LANES = 16
"""Channels per vector."""
THERMOMETER = 2
"""The number of thresholds whose masks are planes themselves."""


def plane_count(levels: int) -> int:
    """Return the number of planes for a number of thresholds: 1, 2, 3, 7 or 15."""
    return levels if levels <= THERMOMETER else levels.bit_length()


@intrinsic(prefer_literal=True)
def _level_pixel(typing_context, kind, window, levels, n, channel, x_at, pixel, down, y_at):
    """Write the planes of 16 channels of one pixel.

    Args:
        typing_context: Numba's.
        kind: An array of the dtype of x, int32 or float32.
        window: A literal: 1, or 2 for the maximum over 2x2 pixels.
        levels: L, a literal.
        n: A LevelRecord.
        channel: First channel, a multiple of 16.
        x_at: Address of the channels of the first pixel.
        pixel: Bytes to the right pixel of a window.
        down: Bytes to the lower pixel of a window.
        y_at: Address of the bits in the first plane.
    """
    is_float = kind.dtype == types.float32
    vector = ir.VectorType(F32 if is_float else I32, LANES)
    count, size = levels.literal_value, window.literal_value
    signature = types.void(kind, window, levels, n, *[types.int64] * 5)

    def compare(builder, operator, a, b):
        if is_float:
            return builder.fcmp_unordered(operator, a, b)
        return builder.icmp_signed(operator, a, b)

    def generate(context, builder, _signature, arguments):
        record, channel, x_at, pixel, down, y_at = arguments[3:]
        at = {name: builder.extract_value(record, i) for i, name in enumerate(LevelRecord._fields)}
        x = load(builder, x_at, vector, 4)
        for dy in range(size):
            for dx in range(size):
                if dy or dx:
                    corner = builder.add(x_at, down) if dy else x_at
                    corner = builder.add(corner, pixel) if dx else corner
                    other = load(builder, corner, vector, 4)
                    x = builder.select(compare(builder, "<", x, other), other, x)
        if size > 1 and not is_float:
            # -x = (x ^ -1) - -1
            flips = builder.add(at["flips"], builder.mul(channel, constant(4)))
            flip = load(builder, flips, vector, 4)
            x = builder.sub(builder.xor(x, flip), flip)
        valid = valid_lanes(builder, at, channel)
        planes = [ir.Constant(I16, 0)] * plane_count(count)
        limit = builder.add(at["thresholds"], builder.mul(channel, constant(4)))
        for level in range(1, count + 1):
            below = compare(builder, "<", x, load(builder, limit, vector, 4))
            mask = builder.bitcast(below, I16)
            for bit in range(len(planes)):
                takes_part = level == bit + 1 if count == THERMOMETER else level % 2**bit == 0
                if takes_part:
                    planes[bit] = builder.xor(planes[bit], mask)
            limit = builder.add(limit, at["row"])
        for bit, mask in enumerate(planes):
            offset = load(builder, builder.add(at["planes"], constant(8 * bit)), I64, 8)
            store(builder, builder.and_(mask, valid), builder.add(y_at, offset), 1)
        return context.get_dummy_value()

    return signature, generate


@njit(error_model="numpy")
def _level_pixels(kind, window, levels, n, columns, first, last, x_at, pixel, down, y_at, y_pixel):
    """Compute the channels from `first` to `last` (exclusive) of a row of pixels."""
    for column in range(columns):
        x, y = x_at + window * column * pixel, y_at + column * y_pixel
        for channel in range(first, last, LANES):
            done = channel - first
            _level_pixel(
                kind, window, levels, n, channel, x + done * 4, pixel, down, y + done // 8
            )


@njit(error_model="numpy")
def level_row(kind, window, n, columns, channel, channels, x_at, pixel, down, y_at, y_pixel):
    """Compute the planes of some channels of one row of pixels.

    Args:
        kind: An array of the dtype of x, int32 or float32.
        window: A literal: 1, or 2 for the level of the maximum over 2x2 pixels.
        n: A LevelRecord.
        columns: Number of pixels of the row, after pooling.
        channel: First channel, a multiple of 16.
        channels: Number of channels; those beyond the last channel of the layer are ignored.
        x_at: Address of the first channel of the first pixel.
        pixel: Bytes between pixels of x.
        down: Bytes between rows of x.
        y_at: Address of the bits of the first channel of the first pixel in the first plane.
        y_pixel: Bytes between pixels of a plane.
    """
    end = min(channel + channels, n.channels)
    if n.levels == 1:
        _level_pixels(kind, window, 1, n, columns, channel, end, x_at, pixel, down, y_at, y_pixel)
    elif n.levels == 2:
        _level_pixels(kind, window, 2, n, columns, channel, end, x_at, pixel, down, y_at, y_pixel)
    elif n.levels == 3:
        _level_pixels(kind, window, 3, n, columns, channel, end, x_at, pixel, down, y_at, y_pixel)
    elif n.levels == 7:
        _level_pixels(kind, window, 7, n, columns, channel, end, x_at, pixel, down, y_at, y_pixel)
    else:
        _level_pixels(kind, window, 15, n, columns, channel, end, x_at, pixel, down, y_at, y_pixel)


@njit(error_model="numpy")
def _pack_levels(kind, at, thread, threads):
    p = read(PackLevelsRecord, at)
    x, y, n = read(Map, p.x), read(Map, p.y), read(LevelRecord, p.levels)
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        level_row(
            kind, 1, n, x.columns, 0, x.depth, row_at(x, row), x.pixel, 0, row_at(y, row), y.pixel
        )


def levels_of_reals(at, thread, threads):
    """From a float32 map to bit planes; `at` is a PackLevelsRecord."""
    _pack_levels(REALS, at, thread, threads)


def levels_of_sums(at, thread, threads):
    """From an int32 map to bit planes; `at` is a PackLevelsRecord."""
    _pack_levels(SUMS, at, thread, threads)
