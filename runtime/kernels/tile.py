"""The micro-kernel: P output pixels times V vectors of output channels, all in registers.

    acc[p][v] = sum over taps of  popcount(x[p] ^ w[v])    uint64 weights: 64 channels a lane
                                  the same, looked up      uint8 weights, see lookup.py
                                  x[p] * w[v]              float32 weights: 1 channel a lane
                                  the same for w = +-1     int8 weights, see signed_sums.py
                                  the same for int16       int32 weights, see pairs.py

Output channels lie across the lanes, so there are no horizontal sums: an input element is
broadcast, the weights of a tap are V consecutive vectors. Taps are three nested counts (rows of
the kernel, columns, words or channels), of which the inner run is contiguous in memory.

What becomes of the accumulators depends on the types of input and output (K is the number of
taps):

    signs -> signs    set the bit (-1) where acc > limit
    signs -> sums     base - 2 acc
    signs -> reals    (base - 2 acc) * scale + bias, rounded after the product and after the sum
    reals -> signs    set the bit (-1) where acc < threshold
    reals -> sums     acc, exact while it is below 2^24
    reals -> reals    acc * scale + bias, rounded after each

where base = K less the weights that fall on zero padding, and, because the sum is base - 2 acc,
sum < t  <=>  acc > limit = floor((base - t) / 2).

The comparison yields a mask of lanes, which *is* the packed output: sign, batch norm and packing
cost one instruction. The constants (limit, base, threshold, bias) are the row of a table that
belongs to the pixel: zero padding has a row for each border case, so it costs nothing.
"""

from contextlib import contextmanager

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.cpu import has_512_bits
from bnnkit.runtime.kernels import lookup, pairs, signed_sums
from bnnkit.runtime.kernels.records import Convolution
from bnnkit.runtime.kernels.vectors import (
    F32,
    FLOATS,
    I32,
    I64,
    WORDS,
    broadcast,
    call,
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
"""Output channels in one vector, by the type of the weights."""
VECTOR = {
    types.uint64: 64,
    types.uint8: lookup.LANES,
    types.float32: 64,
    types.int8: 16,
    types.int32: 64,
}
"""Bytes of a vector of weights."""
ELSEWHERE = {
    types.uint8: lookup.accumulators,
    types.int8: signed_sums.accumulators,
    types.int32: pairs.accumulators,
}
"""Forms that have files of their own."""
PARTS = {
    types.uint64: (4, 4),
    types.int8: (4, 4),
    types.int32: (4, 4),
    types.uint8: (4, 4) if has_512_bits() else (2, 4),
    types.float32: (4, 4) if has_512_bits() else (2, 2),
}
"""Pixels and vectors of channels whose accumulators fit into the CPU's registers."""


def _accumulate_popcount(builder, accumulator, x, w):
    differing = call(builder, "llvm.ctpop.v8i64", builder.xor(x, w))
    return builder.add(accumulator, differing)


def _accumulate_product(builder, accumulator, x, w):
    return call(builder, "llvm.fmuladd.v16f32", x, w, accumulator)


def _signs_to_signs(builder, accumulator, table, scale, bias):
    return builder.icmp_signed(">", accumulator, load(builder, table, accumulator.type, 4))


def _signs_to_sums(builder, accumulator, table, scale, bias):
    kind = ir.VectorType(I32, accumulator.type.count)
    narrow = accumulator if accumulator.type == kind else builder.trunc(accumulator, kind)
    return builder.sub(load(builder, table, kind, 4), builder.add(narrow, narrow))


def _signs_to_reals(builder, accumulator, table, scale, bias):
    kind = ir.VectorType(F32, accumulator.type.count)
    sums = builder.sitofp(_signs_to_sums(builder, accumulator, table, scale, bias), kind)
    scaled = builder.fmul(sums, load(builder, scale, kind, 4))
    return builder.fadd(scaled, load(builder, bias, kind, 4))


def _reals_to_signs(builder, accumulator, table, scale, bias):
    return builder.fcmp_ordered("<", accumulator, load(builder, table, FLOATS, 4))


def _reals_to_sums(builder, accumulator, table, scale, bias):
    return builder.fptosi(accumulator, ir.VectorType(I32, 16))


def _reals_to_reals(builder, accumulator, table, scale, bias):
    scaled = builder.fmul(accumulator, load(builder, scale, FLOATS, 4))
    return builder.fadd(scaled, load(builder, bias, FLOATS, 4))


def _integers_to_signs(builder, accumulator, table, scale, bias):
    return builder.icmp_signed("<", accumulator, load(builder, table, accumulator.type, 4))


def _integers_to_sums(builder, accumulator, table, scale, bias):
    return accumulator


def _integers_to_reals(builder, accumulator, table, scale, bias):
    return _reals_to_reals(builder, builder.sitofp(accumulator, FLOATS), table, scale, bias)


ACCUMULATE = {types.uint64: _accumulate_popcount, types.float32: _accumulate_product}
FROM_SIGNS = {
    types.uint8: _signs_to_signs,
    types.int32: _signs_to_sums,
    types.float32: _signs_to_reals,
}
FINISH = {
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
"""By the types of weights and output."""
ELEMENT = {types.uint64: (I64, WORDS, 8), types.float32: (F32, FLOATS, 4)}


def _accumulators(builder, kind, pixels, vectors, all_vectors, at, x_at, w_at):
    """Values acc[p][v] after all taps; `at` holds the fields of the Convolution.

    The weights of a tap are `all_vectors`, of which these are some.
    """
    if kind in ELSEWHERE:
        return ELSEWHERE[kind](builder, pixels, vectors, all_vectors, at, x_at, w_at)
    (scalar, vector, size), accumulate = ELEMENT[kind], ACCUMULATE[kind]
    slots = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(pixels)]
    for slot in (slot for row in slots for slot in row):
        builder.store(ir.Constant(vector, None), slot)  # None is zero
    next_weight = cgutils.alloca_once_value(builder, w_at)
    with cgutils.for_range(builder, at["outer_count"], intp=I64) as outer:
        row = builder.add(x_at, builder.mul(outer.index, at["outer_step"]))
        with cgutils.for_range(builder, at["middle_count"], intp=I64) as middle:
            start = builder.add(row, builder.mul(middle.index, at["middle_step"]))
            inputs = [
                builder.add(start, builder.mul(constant(p), at["x_pixel"])) for p in range(pixels)
            ]
            with cgutils.for_range(builder, at["run"], intp=I64) as inner:
                weight = builder.load(next_weight)
                offset = builder.mul(inner.index, constant(size))
                w = [
                    load(builder, builder.add(weight, constant(64 * v)), vector, size)
                    for v in range(vectors)
                ]
                for p in range(pixels):
                    x = load(builder, builder.add(inputs[p], offset), scalar, size)
                    lanes = broadcast(builder, x, vector)
                    for v, slot in enumerate(slots[p]):
                        builder.store(accumulate(builder, builder.load(slot), lanes, w[v]), slot)
                builder.store(builder.add(weight, constant(64 * all_vectors)), next_weight)
    return [[builder.load(slot) for slot in row] for row in slots]


def _write(builder, value, address, channel, at):
    """Store a vector of results; a mask of lanes becomes the bytes of packed signs.

    Sums and reals have room for their channels rounded up to 16, which may be less than a vector.
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


@intrinsic(prefer_literal=True)
def tile(typing_context, pixels, vectors, w, y, c, x_at, w_at, vector, case_at, y_at, y_pixel):
    """Compute one tile and write it.

    Args:
        typing_context: Numba's.
        pixels: P, a literal.
        vectors: V, a literal.
        w: An array of the weights' element type; nothing else of it matters, likewise for y.
        y: An array of the output's element type, uint8 for packed signs.
        c: A Convolution.
        x_at: Address of the first tap of the first pixel.
        w_at: Address of the weights of the V vectors, (taps, V, lanes).
        vector: The first of the V vectors of channels.
        case_at: Address of P int64 row numbers of the table, one for each pixel.
        y_at: Address of the first pixel's output.
        y_pixel: Bytes between the outputs of the pixels.
    """
    p_count, v_count = pixels.literal_value, vectors.literal_value
    signature = types.void(pixels, vectors, w, y, c, *[types.int64] * 6)
    # What does not fit into the registers is done in parts.
    p_part, v_part = (min(pair) for pair in zip(PARTS[w.dtype], (p_count, v_count), strict=True))

    def generate(context, builder, _signature, arguments):
        record, x_at, w_at, vector, case_at, y_at, y_pixel = arguments[4:]
        at = {name: builder.extract_value(record, i) for i, name in enumerate(Convolution._fields)}
        y_vector = LANES[w.dtype] // 8 if y.dtype == types.uint8 else LANES[w.dtype] * 4
        with (
            _steps(builder, p_count, p_part) as pixel,
            _steps(builder, v_count, v_part) as first,
        ):
            x_part = builder.add(x_at, builder.mul(pixel, at["x_pixel"]))
            w_part = builder.add(w_at, builder.mul(first, constant(VECTOR[w.dtype])))
            accumulators = _accumulators(
                builder, w.dtype, p_part, v_part, v_count, at, x_part, w_part
            )
            y_part = builder.add(y_at, builder.mul(pixel, y_pixel))
            y_part = builder.add(y_part, builder.mul(first, constant(y_vector)))
            case_part = builder.add(case_at, builder.mul(pixel, constant(8)))
            channels = builder.add(vector, first)
            _finish(
                builder, w.dtype, y.dtype, accumulators, at, channels, case_part, y_part, y_pixel
            )
        return context.get_dummy_value()

    return signature, generate


@contextmanager
def _steps(builder, count, step):
    """A loop over 0, step, ... below count."""
    bounds = constant(0), constant(count), constant(step)
    with cgutils.for_range_slice(builder, *bounds, intp=I64) as (index, _):
        yield index


def _finish(builder, w, y, accumulators, at, vector, case_at, y_at, y_pixel):
    """Turn the accumulators into outputs and write them."""
    lanes = LANES[w]
    channel = builder.mul(vector, constant(lanes))
    # Limits of 64-bit counts are 64 bits wide, all other constants 32.
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
            value = FINISH[w][y](builder, accumulator, constants, factor, shift)
            first = builder.add(channel, constant(v * lanes))
            _write(builder, value, builder.add(pixel, constant(v * y_vector)), first, at)


@intrinsic(prefer_literal=True)
def maximum(typing_context, vectors, w, top, bottom, pixel, y_at):
    """The maximum of four pixels of packed signs: the AND of their bits.

    Args:
        typing_context: Numba's.
        vectors: V, a literal; w gives the lanes of a vector.
        w: An array of the type of the convolution's weights.
        top: Address of the upper left pixel.
        bottom: Address of the lower left pixel.
        pixel: Bytes to the pixels on the right.
        y_at: Address of the result.
    """
    bits = ir.IntType(vectors.literal_value * LANES[w.dtype])
    signature = types.void(vectors, w, *[types.int64] * 4)

    def generate(context, builder, _signature, arguments):
        top, bottom, pixel, y_at = arguments[2:]
        corners = top, builder.add(top, pixel), bottom, builder.add(bottom, pixel)
        pixels = [load(builder, corner, bits, 1) for corner in corners]
        common = builder.and_(builder.and_(*pixels[:2]), builder.and_(*pixels[2:]))
        store(builder, common, y_at, 1)
        return context.get_dummy_value()

    return signature, generate
