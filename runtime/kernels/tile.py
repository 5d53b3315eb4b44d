"""The micro-kernel: P output pixels times V vectors of output channels, all in registers.

    acc[p][v] = sum over taps of  popcount(x[p] ^ w[v])      uint64 inputs: 64 channels a lane
                                  x[p] * w[v]                float32 inputs: 1 channel a lane

Output channels lie across the lanes, so there are no horizontal sums: an input element is
broadcast, the weights of a tap are V consecutive vectors. Taps are three nested counts (rows of
the kernel, columns, words or channels), of which the inner run is contiguous in memory.

What becomes of the accumulators depends on the types of input and output (K is the number of
taps):

    uint64 -> uint8     set the bit (-1) where acc > limit
    uint64 -> int32     base - 2 acc
    uint64 -> float32   (base - 2 acc) * scale + bias, rounded after the product and after the sum
    float32 -> uint8    set the bit (-1) where acc < threshold
    float32 -> int32    acc, exact while it is below 2^24
    float32 -> float32  acc + bias

where base = K less the weights that fall on zero padding, and, because the sum is base - 2 acc,
sum < t  <=>  acc > limit = floor((base - t) / 2).

The comparison yields a mask of lanes, which *is* the packed output: sign, batch norm and packing
cost one instruction. The constants (limit, base, threshold, bias) are the row of a table that
belongs to the pixel: zero padding has a row for each border case, so it costs nothing.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

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

VECTOR = 64
"""Bytes of a vector of weights."""
LANES = {types.uint64: 8, types.float32: 16}
"""Output channels in one vector, by the type of the input."""
INTS = ir.VectorType(I32, 8)
HALF = ir.VectorType(F32, 8)


def _accumulate_popcount(builder, accumulator, x, w):
    differing = call(builder, "llvm.ctpop.v8i64", builder.xor(x, w))
    return builder.add(accumulator, differing)


def _accumulate_product(builder, accumulator, x, w):
    return call(builder, "llvm.fmuladd.v16f32", x, w, accumulator)


def _words_to_bits(builder, accumulator, table, scale, bias):
    return builder.icmp_signed(">", accumulator, load(builder, table, WORDS, 8))


def _words_to_sums(builder, accumulator, table, scale, bias):
    narrow = builder.trunc(accumulator, INTS)
    return builder.sub(load(builder, table, INTS, 4), builder.add(narrow, narrow))


def _words_to_floats(builder, accumulator, table, scale, bias):
    sums = builder.sitofp(_words_to_sums(builder, accumulator, table, scale, bias), HALF)
    scaled = builder.fmul(sums, load(builder, scale, HALF, 4))
    return builder.fadd(scaled, load(builder, bias, HALF, 4))


def _floats_to_bits(builder, accumulator, table, scale, bias):
    return builder.fcmp_ordered("<", accumulator, load(builder, table, FLOATS, 4))


def _floats_to_sums(builder, accumulator, table, scale, bias):
    return builder.fptosi(accumulator, ir.VectorType(I32, 16))


def _floats_to_floats(builder, accumulator, table, scale, bias):
    return builder.fadd(accumulator, load(builder, table, FLOATS, 4))


ACCUMULATE = {types.uint64: _accumulate_popcount, types.float32: _accumulate_product}
FINISH = {
    (types.uint64, types.uint8): _words_to_bits,
    (types.uint64, types.int32): _words_to_sums,
    (types.uint64, types.float32): _words_to_floats,
    (types.float32, types.uint8): _floats_to_bits,
    (types.float32, types.int32): _floats_to_sums,
    (types.float32, types.float32): _floats_to_floats,
}
TABLE_BYTES = {
    (types.uint64, types.uint8): 8,
    (types.uint64, types.int32): 4,
    (types.uint64, types.float32): 4,
    (types.float32, types.uint8): 4,
    (types.float32, types.int32): 4,
    (types.float32, types.float32): 4,
}
"""Size of a channel's constant."""
ELEMENT = {types.uint64: (I64, WORDS, 8), types.float32: (F32, FLOATS, 4)}


def _accumulators(builder, kind, pixels, vectors, at, x_at, w_at):
    """Values acc[p][v] after all taps; `at` holds the fields of the Convolution."""
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
                builder.store(builder.add(weight, constant(64 * vectors)), next_weight)
    return [[builder.load(slot) for slot in row] for row in slots]


def _write(builder, value, address):
    """Store a vector of results; a mask of lanes becomes the bytes of packed signs."""
    if value.type.element == ir.IntType(1):
        value = builder.bitcast(value, ir.IntType(value.type.count))
    store(builder, value, address, 1 if isinstance(value.type, ir.IntType) else 4)


@intrinsic(prefer_literal=True)
def tile(typing_context, pixels, vectors, x, y, c, x_at, w_at, vector, case_at, y_at, y_pixel):
    """Compute one tile and write it.

    Args:
        typing_context: Numba's.
        pixels: P, a literal.
        vectors: V, a literal.
        x: An array of the input's element type; nothing else of it matters, likewise for y.
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
    kinds = x.dtype, y.dtype
    signature = types.void(pixels, vectors, x, y, c, *[types.int64] * 6)
    lanes = LANES[x.dtype]
    table_vector, scale_vector = lanes * TABLE_BYTES[kinds], lanes * 4
    y_vector = lanes // 8 if y.dtype == types.uint8 else lanes * 4

    def generate(context, builder, _signature, arguments):
        record, x_at, w_at, vector, case_at, y_at, y_pixel = arguments[4:]
        at = {name: builder.extract_value(record, i) for i, name in enumerate(Convolution._fields)}
        accumulators = _accumulators(builder, x.dtype, p_count, v_count, at, x_at, w_at)
        table_at = builder.add(at["table"], builder.mul(vector, constant(table_vector)))
        scale_at = builder.add(at["scale"], builder.mul(vector, constant(scale_vector)))
        for p in range(p_count):
            case = load(builder, builder.add(case_at, constant(8 * p)), I64, 8)
            row = builder.add(table_at, builder.mul(case, at["table_row"]))
            pixel = builder.add(y_at, builder.mul(constant(p), y_pixel))
            for v in range(v_count):
                table = builder.add(row, constant(v * table_vector))
                scale = builder.add(scale_at, constant(v * scale_vector))
                bias = builder.add(scale, at["scale_row"])
                value = FINISH[kinds](builder, accumulators[p][v], table, scale, bias)
                _write(builder, value, builder.add(pixel, constant(v * y_vector)))
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def maximum(typing_context, vectors, x, top, bottom, pixel, y_at):
    """The maximum of four pixels of packed signs: the AND of their bits.

    Args:
        typing_context: Numba's.
        vectors: V, a literal; x gives the lanes of a vector.
        x: An array of the type of the convolution's input.
        top: Address of the upper left pixel.
        bottom: Address of the lower left pixel.
        pixel: Bytes to the pixels on the right.
        y_at: Address of the result.
    """
    bits = ir.IntType(vectors.literal_value * LANES[x.dtype])
    signature = types.void(vectors, x, *[types.int64] * 4)

    def generate(context, builder, _signature, arguments):
        top, bottom, pixel, y_at = arguments[2:]
        corners = top, builder.add(top, pixel), bottom, builder.add(bottom, pixel)
        pixels = [load(builder, corner, bits, 1) for corner in corners]
        common = builder.and_(builder.and_(*pixels[:2]), builder.and_(*pixels[2:]))
        store(builder, common, y_at, 1)
        return context.get_dummy_value()

    return signature, generate
