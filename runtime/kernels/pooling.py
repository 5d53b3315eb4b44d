"""Maximum and sum over the pooling windows of a float32 map.

The pixels of a window are combined in registers in row-major order, sixteen channels at a time.
Pixels outside of the map are skipped. The maximum of a window with a NaN is NaN.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.kernels.maps import partition_rows, row_at
from bnnkit.runtime.kernels.records import Map, PoolRecord, read
from bnnkit.runtime.kernels.vectors import FLOATS, I64, load, store

MAXIMUM, SUM = range(2)
NEUTRAL = {MAXIMUM: float("-inf"), SUM: -0.0}
"""Neutral element of each operation; -0.0 preserves the sign of a zero sum."""
VECTOR = 64
"""Bytes of a vector of sixteen channels."""


@intrinsic(prefer_literal=True)
def _combine(typing_context, operation, x_at, rows, x_row, columns, x_column, y_at):
    """Combine sixteen channels of one window.

    Args:
        typing_context: Numba's.
        operation: MAXIMUM or SUM, a literal.
        x_at: Address of the first pixel of the window.
        rows: Number of rows.
        x_row: Bytes between rows.
        columns: Number of pixels in a row.
        x_column: Bytes between the pixels of a row.
        y_at: Address of the result.
    """
    code = operation.literal_value

    def generate(context, builder, _signature, arguments):
        x_at, rows, x_row, columns, x_column, y_at = arguments[1:]
        neutral = ir.Constant(FLOATS, [NEUTRAL[code]] * FLOATS.count)
        slot = cgutils.alloca_once_value(builder, neutral)
        with cgutils.for_range(builder, rows, intp=I64) as outer:
            row = builder.add(x_at, builder.mul(outer.index, x_row))
            with cgutils.for_range(builder, columns, intp=I64) as inner:
                place = builder.add(row, builder.mul(inner.index, x_column))
                x, so_far = load(builder, place, FLOATS, 4), builder.load(slot)
                if code == MAXIMUM:
                    larger = builder.fcmp_ordered(">", so_far, x)
                    is_nan = builder.fcmp_unordered("uno", so_far, so_far)
                    stays = builder.or_(larger, is_nan)
                    builder.store(builder.select(stays, so_far, x), slot)
                else:
                    builder.store(builder.fadd(so_far, x), slot)
        store(builder, builder.load(slot), y_at, 4)
        return context.get_dummy_value()

    return types.void(operation, *[types.int64] * 6), generate


@njit(error_model="numpy")
def _inside(start, taps, step, size):
    """Return the first and the last (exclusive) tap of a window axis that lie inside the map."""
    first = max(0, (step - 1 - start) // step)
    last = min(taps, (size - start + step - 1) // step)
    return first, last


@njit(error_model="numpy")
def _pool(operation, at, thread, threads):
    p = read(PoolRecord, at)
    x, y = read(Map, p.x), read(Map, p.y)
    first, last = partition_rows(y, thread, threads)
    for row in range(first, last):
        image, size = x.data + row // y.rows * x.image, (x.rows, x.columns)
        pool_row(operation, p, size, image, x.row, x.pixel, row % y.rows, y, row_at(y, row))


@njit(error_model="numpy")
def pool_row(operation, p, size, image, x_row, x_pixel, line, y, y_at):
    """Pool one row of windows.

    Args:
        operation: MAXIMUM or SUM.
        p: The windows: a record with the fields of a PoolRecord.
        size: Rows and columns of the image.
        image: Address of the image.
        x_row: Bytes between its rows.
        x_pixel: Bytes between its pixels.
        line: Index of the row of windows in the image.
        y: Map of the result.
        y_at: Address of the row in the result.
    """
    top = line * p.down - p.top
    above, below = _inside(top, p.height, p.row_step, size[0])
    x_line = image + (top + above * p.row_step) * x_row
    for column in range(y.columns):
        left = column * p.right - p.left
        before, behind = _inside(left, p.width, p.column_step, size[1])
        x_at = x_line + (left + before * p.column_step) * x_pixel
        if above < below and before < behind:
            for vector in range(0, y.depth * 4, VECTOR):
                _combine(
                    operation, x_at + vector, below - above, p.row_step * x_row, behind - before,
                    p.column_step * x_pixel, y_at + column * y.pixel + vector,
                )  # fmt: skip


def pool_maxima(at, thread, threads):
    """Max-pool a float32 map, with windows clipped at the border; `at` is a PoolRecord."""
    _pool(MAXIMUM, at, thread, threads)


def pool_sums(at, thread, threads):
    """Sum-pool a float32 map, with windows clipped at the border; `at` is a PoolRecord."""
    _pool(SUM, at, thread, threads)
