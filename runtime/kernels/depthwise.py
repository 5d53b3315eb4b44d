"""Depthwise convolution of float32 maps: each channel is convolved with its own kernel.

    y[p][c] = sum over taps of x[p + tap][c] * w[tap][c], then + bias[c]

Channels lie across the lanes of vectors. Tiles of four neighbouring output pixels load the weights
of a tap once. Zero padding is stored in the margin of the input.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.kernels.maps import partition_rows, row_at
from bnnkit.runtime.kernels.records import PIXELS, Map, read
from bnnkit.runtime.kernels.records_of_convolutions import DepthwiseRecord
from bnnkit.runtime.kernels.vectors import FLOATS, I64, call, constant, load, store

VECTOR = 64
"""Bytes of a vector of sixteen channels."""


@intrinsic(prefer_literal=True)
def _tile(typing_context, pixels, d, x_row, x_column, x_at, x_pixel, w_at, bias_at, y_at, y_pixel):
    """Compute sixteen channels of one tile of output pixels.

    Args:
        typing_context: Numba's.
        pixels: Number of output pixels, a literal.
        d: A DepthwiseRecord.
        x_row: Bytes between input rows of neighbouring taps.
        x_column: Bytes between input columns of neighbouring taps.
        x_at: Address of the first tap of the first pixel.
        x_pixel: Bytes between the first taps of neighbouring pixels.
        w_at: Address of the weights, (taps, 16).
        bias_at: Address of the bias.
        y_at: Address of the first pixel's output.
        y_pixel: Bytes between the outputs of neighbouring pixels.
    """
    count = pixels.literal_value

    def generate(context, builder, _signature, arguments):
        record, x_row, x_column, x_at, x_pixel, w_at, bias_at, y_at, y_pixel = arguments[1:]
        at = {
            name: builder.extract_value(record, i)
            for i, name in enumerate(DepthwiseRecord._fields)
        }
        slots = [cgutils.alloca_once(builder, FLOATS) for _ in range(count)]
        for slot in slots:
            builder.store(ir.Constant(FLOATS, None), slot)
        weight = cgutils.alloca_once_value(builder, w_at)
        with cgutils.for_range(builder, at["height"], intp=I64) as outer:
            row = builder.add(x_at, builder.mul(outer.index, x_row))
            with cgutils.for_range(builder, at["width"], intp=I64) as inner:
                tap = builder.add(row, builder.mul(inner.index, x_column))
                w = load(builder, builder.load(weight), FLOATS, 4)
                for p, slot in enumerate(slots):
                    x_place = builder.add(tap, builder.mul(constant(p), x_pixel))
                    x = load(builder, x_place, FLOATS, 4)
                    total = call(builder, "llvm.fmuladd.v16f32", x, w, builder.load(slot))
                    builder.store(total, slot)
                builder.store(builder.add(builder.load(weight), constant(VECTOR)), weight)
        bias = load(builder, bias_at, FLOATS, 4)
        for p, slot in enumerate(slots):
            y_place = builder.add(y_at, builder.mul(constant(p), y_pixel))
            store(builder, builder.fadd(builder.load(slot), bias), y_place, 4)
        return context.get_dummy_value()

    return types.void(pixels, d, *[types.int64] * 8), generate


def depthwise(at, thread, threads):
    """Compute a thread's share of a depthwise convolution; `at` is a DepthwiseRecord."""
    d = read(DepthwiseRecord, at)
    x, y = read(Map, d.x), read(Map, d.y)
    x_row, x_column, x_pixel = d.row_step * x.row, d.column_step * x.pixel, d.right * x.pixel
    w_vector = d.height * d.width * VECTOR
    first, last = partition_rows(y, thread, threads)
    for row in range(first, last):
        x_line = x.data + row // y.rows * x.image + (row % y.rows * d.down - d.top) * x.row
        x_start, y_start = x_line - d.left * x.pixel, row_at(y, row)
        for vector in range((y.depth + 15) // 16):
            x_at, y_at = x_start + vector * VECTOR, y_start + vector * VECTOR
            w_at, bias_at = d.w + vector * w_vector, d.bias + vector * VECTOR
            _row(d, x_row, x_column, x_at, x_pixel, w_at, bias_at, y_at, y.pixel, y.columns)


@njit(error_model="numpy")
def _row(d, x_row, x_column, x_at, x_pixel, w_at, bias_at, y_at, y_pixel, columns):
    """Compute sixteen channels of one row of output pixels."""
    if columns < PIXELS:
        for column in range(columns):
            x, y = x_at + column * x_pixel, y_at + column * y_pixel
            _tile(1, d, x_row, x_column, x, x_pixel, w_at, bias_at, y, y_pixel)
        return
    for start in range(0, columns, PIXELS):
        column = min(start, columns - PIXELS)  # the last tile is shifted left until it fits
        x, y = x_at + column * x_pixel, y_at + column * y_pixel
        _tile(PIXELS, d, x_row, x_column, x, x_pixel, w_at, bias_at, y, y_pixel)
