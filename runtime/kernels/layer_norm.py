"""The layer norm over the channels of a map, with the bits of its definition.

`bnnkit.artifact.standard.layer_norm` is the definition, and explains each step.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.kernels.maps import get, partition
from bnnkit.runtime.kernels.reals import REALS
from bnnkit.runtime.kernels.records import LayerNormRecord, Map, read
from bnnkit.runtime.kernels.signs import pack_pixel
from bnnkit.runtime.kernels.vectors import FLOATS, I32, I64, broadcast, constant, load, part, store

LANES = FLOATS.count
DOUBLE = ir.DoubleType()
DOUBLES = ir.VectorType(DOUBLE, LANES)
INDICES = ir.VectorType(I64, LANES)


def _numbers(builder, x_at, index):
    """Load sixteen numbers as float64."""
    place = builder.add(x_at, builder.mul(index, constant(4 * LANES)))
    return builder.fpext(load(builder, place, FLOATS, 4), DOUBLES)


def _add_tree(builder, lanes):
    """Add up the lanes of a vector: those that are eight apart, then four, two and one."""
    while lanes.type.count > 1:
        half = lanes.type.count // 2
        lanes = builder.fadd(part(builder, lanes, 0, half), part(builder, lanes, half, half))
    return builder.extract_element(lanes, ir.Constant(I32, 0))


def _sum_of_row(builder, x_at, channels, term):
    """Emit the sum of `term` over a row; term takes the IRBuilder and sixteen numbers."""
    slot = cgutils.alloca_once_value(builder, ir.Constant(DOUBLES, [0.0] * LANES))
    whole = builder.sdiv(channels, constant(LANES))
    with cgutils.for_range(builder, whole, intp=I64) as loop:
        found = term(builder, _numbers(builder, x_at, loop.index))
        builder.store(builder.fadd(builder.load(slot), found), slot)
    rest = builder.srem(channels, constant(LANES))
    with builder.if_then(builder.icmp_signed(">", rest, constant(0))):
        found = term(builder, _numbers(builder, x_at, whole))
        lanes = ir.Constant(INDICES, list(range(LANES)))
        is_channel = builder.icmp_signed("<", lanes, broadcast(builder, rest, INDICES))
        found = builder.select(is_channel, found, ir.Constant(DOUBLES, [0.0] * LANES))
        builder.store(builder.fadd(builder.load(slot), found), slot)
    return _add_tree(builder, builder.load(slot))


@intrinsic
def _sum(typing_context, x_at, channels):
    """Add up the float32 numbers of a row, in float64."""

    def generate(context, builder, _signature, arguments):
        return _sum_of_row(builder, *arguments, lambda _, x: x)

    return types.float64(types.int64, types.int64), generate


@intrinsic
def _sum_of_squares(typing_context, x_at, channels, mean):
    """Add up the squares of the distances from the mean, in float64."""

    def generate(context, builder, _signature, arguments):
        x_at, channels, mean = arguments
        centre = broadcast(builder, mean, DOUBLES)

        def square(builder, x):
            distance = builder.fsub(x, centre)
            return builder.fmul(distance, distance)

        return _sum_of_row(builder, x_at, channels, square)

    return types.float64(types.int64, types.int64, types.float64), generate


@intrinsic
def _write(typing_context, x_at, y_at, channels, moments, constants):
    """Write the result for a row, in whole vectors.

    Args:
        typing_context: Numba's.
        x_at: Address of the row.
        y_at: Address of the result.
        channels: Number of channels.
        moments: The mean, and the factor by which distances from it are multiplied.
        constants: Addresses of scale and bias, one float32 per channel, padded to vectors.
    """

    def generate(context, builder, _signature, arguments):
        x_at, y_at, channels, moments, constants = arguments
        mean, factor = (
            broadcast(builder, builder.extract_value(moments, i), DOUBLES) for i in (0, 1)
        )
        places = [builder.extract_value(constants, i) for i in (0, 1)]
        vectors = builder.sdiv(builder.add(channels, constant(LANES - 1)), constant(LANES))
        with cgutils.for_range(builder, vectors, intp=I64) as loop:
            distance = builder.fsub(_numbers(builder, x_at, loop.index), mean)
            normal = builder.fptrunc(builder.fmul(distance, factor), FLOATS)
            offset = builder.mul(loop.index, constant(4 * LANES))
            scale, bias = (
                load(builder, builder.add(place, offset), FLOATS, 4) for place in places
            )
            result = builder.fadd(builder.fmul(normal, scale), bias)
            store(builder, result, builder.add(y_at, offset), 4)
        return context.get_dummy_value()

    pair = types.UniTuple(types.float64, 2), types.UniTuple(types.int64, 2)
    return types.void(types.int64, types.int64, types.int64, *pair), generate


def layer_norm(at, thread, threads):
    """Compute the layer norm of each pixel of a map; `at` is a LayerNormRecord."""
    r = read(LayerNormRecord, at)
    x, y = read(Map, r.x), read(Map, r.y)
    epsilon, count = np.float64(get(REALS, r.epsilon)), np.float64(x.depth)
    first, last = partition(x.images * x.rows * x.columns, thread, threads)
    for pixel in range(first, last):
        row, column = pixel // x.columns, pixel % x.columns
        image, line = row // x.rows, row % x.rows
        x_at = x.data + image * x.image + line * x.row + column * x.pixel
        y_at = y.data + image * y.image + line * y.row + column * y.pixel
        mean = _sum(x_at, x.depth) / count
        variance = _sum_of_squares(x_at, x.depth, mean) / count
        factor = 1.0 / np.sqrt(variance + epsilon)
        _write(x_at, y_at, x.depth, (mean, factor), (r.scale, r.bias))
        if r.signs:
            signs = read(Map, r.signs)
            bits = signs.data + image * signs.image + line * signs.row + column * signs.pixel
            pack_pixel(REALS, y_at, r.zeros, bits, x.depth)
