"""The epilogue of a tile: turn its accumulators into packed signs, integer sums or floats.

The operation depends on the types of input and output (K is the number of taps, acc an
accumulator):

    signs -> signs    set the bit (-1) where acc > limit
    signs -> sums     base - 2 acc
    signs -> reals    clip(base - 2 acc) * scale + bias, rounded after the product and the sum
    reals -> signs    set the bit (-1) where acc < threshold
    reals -> sums     acc, exact while it is below 2^24
    reals -> reals    acc * scale + bias, rounded after each

Reals of signs may be completed by a skip connection: the sum with another map, rounded, and its
signs, so that neither passes through memory again.

where base = K - (sum of the weights on zero padding). Because the sum is base - 2 acc,
sum < t  <=>  acc > limit = floor((base - t) / 2). For real outputs, base also includes an integer
added later, and clip limits the result to [least, most].

The comparison yields a lane mask that *is* the packed output: sign, batch norm and packing cost
one instruction. The constants (limit, base, threshold) are one row of a table, selected for each
pixel: there is one row per border case, so zero padding costs nothing.
"""

from llvmlite import ir
from numba import types

from bnnkit.runtime.kernels import lookup
from bnnkit.runtime.kernels.vectors import (
    F32,
    FLOATS,
    I32,
    I64,
    broadcast,
    constant,
    load,
    store,
)

LANES = {
    types.uint64: 8,
    types.uint8: lookup.LANES,
    types.float32: 16,
    types.int8: 16,
    types.int32: 16,
}
"""Output channels per vector, by the type of the weights."""


def _signs_to_signs(builder, at, accumulator, table, scale, bias):
    return builder.icmp_signed(">", accumulator, load(builder, table, accumulator.type, 4))


def signs_to_sums(builder, at, accumulator, table, scale, bias):
    """Turn counts of differing signs into sums."""
    kind = ir.VectorType(I32, accumulator.type.count)
    narrow = accumulator if accumulator.type == kind else builder.trunc(accumulator, kind)
    return builder.sub(load(builder, table, kind, 4), builder.add(narrow, narrow))


def signs_to_reals(builder, at, accumulator, table, scale, bias):
    """Turn counts of differing signs into clipped and scaled sums."""
    lanes = accumulator.type.count
    ints, kind = ir.VectorType(I32, lanes), ir.VectorType(F32, lanes)
    sums = signs_to_sums(builder, at, accumulator, table, scale, bias)
    for field, beyond in (("least", "<"), ("most", ">")):
        limit = broadcast(builder, builder.trunc(at[field], I32), ints)
        sums = builder.select(builder.icmp_signed(beyond, sums, limit), limit, sums)
    sums = builder.sitofp(sums, kind)
    scaled = builder.fmul(sums, load(builder, scale, kind, 4))
    return builder.fadd(scaled, load(builder, bias, kind, 4))


def _reals_to_signs(builder, at, accumulator, table, scale, bias):
    return builder.fcmp_ordered("<", accumulator, load(builder, table, FLOATS, 4))


def _reals_to_sums(builder, at, accumulator, table, scale, bias):
    return builder.fptosi(accumulator, ir.VectorType(I32, 16))


def _reals_to_reals(builder, at, accumulator, table, scale, bias):
    scaled = builder.fmul(accumulator, load(builder, scale, FLOATS, 4))
    return builder.fadd(scaled, load(builder, bias, FLOATS, 4))


def _integers_to_signs(builder, at, accumulator, table, scale, bias):
    return builder.icmp_signed("<", accumulator, load(builder, table, accumulator.type, 4))


def _integers_to_sums(builder, at, accumulator, table, scale, bias):
    return accumulator


def _integers_to_reals(builder, at, accumulator, table, scale, bias):
    reals = builder.sitofp(accumulator, FLOATS)
    return _reals_to_reals(builder, at, reals, table, scale, bias)


FROM_SIGNS = {
    types.uint8: _signs_to_signs,
    types.int32: signs_to_sums,
    types.float32: signs_to_reals,
    types.float64: signs_to_reals,
}
EPILOGUES = {
    types.uint64: FROM_SIGNS,
    types.uint8: FROM_SIGNS,
    types.int8: {types.float32: _reals_to_reals},
    types.int32: {
        types.uint8: _integers_to_signs,
        types.int32: _integers_to_sums,
        types.float32: _integers_to_reals,
    },
    types.float32: {
        types.uint8: _reals_to_signs,
        types.int32: _reals_to_sums,
        types.float32: _reals_to_reals,
    },
}
"""Epilogue by the type of the weights, then by the type of the output.

float64 stands for float32 to which another map is added, and their signs.
"""


def write_epilogue(builder, w, y, accumulators, at, vector, case_at, output, added_at, signs_at):
    """Apply the epilogue to accumulators[pixel][vector] and store the results.

    Args:
        builder: LLVM's IRBuilder.
        w: Numba type of the weights.
        y: Numba type of the output, uint8 for packed signs.
        accumulators: Values of the tile, one list of vectors per pixel.
        at: Fields of the ConvolutionRecord.
        vector: Index of the first vector of channels.
        case_at: Address of the int64 table row of each pixel.
        output: Address of the first pixel's output, and bytes between neighbouring pixels.
        added_at: Address of the first pixel of the map that is added.
        signs_at: Address of the signs of the first pixel, if they are wanted.
    """
    y_at, y_pixel = output
    lanes = LANES[w]
    channel = builder.mul(vector, constant(lanes))
    # Limits on 64-bit counts have 64 bits, all other constants 32.
    table_size = 8 if (w, y) == (types.uint64, types.uint8) else 4
    table = builder.add(at["table"], builder.mul(channel, constant(table_size)))
    scale = builder.add(at["scale"], builder.mul(channel, constant(4)))
    y_vector = lanes // 8 if y == types.uint8 else lanes * 4
    for p, row in enumerate(accumulators):
        case = load(builder, builder.add(case_at, constant(8 * p)), I64, 8)
        table_row = builder.add(table, builder.mul(case, at["table_row"]))
        pixel = builder.add(y_at, builder.mul(constant(p), y_pixel))
        for v, accumulator in enumerate(row):
            constants = builder.add(table_row, constant(v * lanes * table_size))
            factor = builder.add(scale, constant(v * lanes * 4))
            shift = builder.add(factor, at["scale_row"])
            value = EPILOGUES[w][y](builder, at, accumulator, constants, factor, shift)
            if y == types.float64:
                added = _pixel(builder, added_at, p, at["added_pixel"], v * y_vector)
                value = builder.fadd(value, load(builder, added, value.type, 4))
                signs = _pixel(builder, signs_at, p, at["signs_pixel"], v * lanes // 8)
                _write_signs(builder, value, signs, at)
            first = builder.add(channel, constant(v * lanes))
            _write(builder, value, builder.add(pixel, constant(v * y_vector)), first, at)


def _pixel(builder, address, pixel, step, offset):
    """Return the address of a number in a pixel."""
    first = builder.add(address, builder.mul(constant(pixel), step))
    return builder.add(first, constant(offset))


def _write_signs(builder, value, address, at):
    """Store the packed signs of a vector where they are wanted; that of NaN is -1."""
    with builder.if_then(builder.icmp_signed("!=", at["signs"], constant(0))):
        zeros = ir.Constant(value.type, None)
        bits = builder.fcmp_unordered("<", value, zeros)
        store(builder, builder.bitcast(bits, ir.IntType(value.type.count)), address, 1)


def _write(builder, value, address, channel, at):
    """Store a vector of results; a lane mask becomes bytes of packed signs.

    Buffers of sums and floats hold the channels rounded up to 16, which may be less than a vector.
    """
    if value.type.element == ir.IntType(1):
        store(builder, builder.bitcast(value, ir.IntType(value.type.count)), address, 1)
    elif value.type.count <= 16:
        store(builder, value, address, 4)
    else:
        for first in range(0, value.type.count, 16):
            here = builder.add(channel, constant(first))
            with builder.if_then(builder.icmp_signed("<", here, at["channels"])):
                mask = ir.Constant(ir.VectorType(I32, 16), list(range(first, first + 16)))
                part = builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)
                store(builder, part, builder.add(address, constant(4 * first)), 4)
