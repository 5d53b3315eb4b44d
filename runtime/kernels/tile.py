"""The micro-kernel: P output pixels times V vectors of output channels, all in registers.

    acc[p][v] = sum over taps of  popcount(x[p] ^ w[v])      uint64 inputs: 64 channels a lane
                                  x[p] * w[v]                float32 inputs: 1 channel a lane

Output channels lie across the lanes, so there are no horizontal sums: an input element is
broadcast, the weights of a tap are V consecutive vectors. Taps are three nested counts (rows of
the kernel, columns, words or channels), of which the inner run is contiguous in memory.

What becomes of the accumulators depends on the types of input and output (K is the number of
taps):

    uint64 -> uint8   set the bit (-1) where acc > limit
    uint64 -> int32   base - 2 acc
    float  -> uint8   set the bit (-1) where acc < threshold
    float  -> int32   acc, exact while it is below 2^24
    float  -> float   acc + bias

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

from bnnkit.runtime.kernels.geometry import Geometry
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

LANES = {types.uint64: 8, types.float32: 16}
"""Output channels in one vector, by the type of the input."""


def _accumulate_popcount(builder, accumulator, x, w):
    differing = call(builder, "llvm.ctpop.v8i64", builder.xor(x, w))
    return builder.add(accumulator, differing)


def _accumulate_product(builder, accumulator, x, w):
    return call(builder, "llvm.fmuladd.v16f32", x, w, accumulator)


def _words_to_bits(builder, accumulator, table):
    return builder.icmp_signed(">", accumulator, load(builder, table, WORDS, 8))


def _words_to_sums(builder, accumulator, table):
    narrow = builder.trunc(accumulator, ir.VectorType(I32, 8))
    base = load(builder, table, ir.VectorType(I32, 8), 4)
    return builder.sub(base, builder.add(narrow, narrow))


def _floats_to_bits(builder, accumulator, table):
    return builder.fcmp_ordered("<", accumulator, load(builder, table, FLOATS, 4))


def _floats_to_sums(builder, accumulator, table):
    return builder.fptosi(accumulator, ir.VectorType(I32, 16))


def _floats_to_floats(builder, accumulator, table):
    return builder.fadd(accumulator, load(builder, table, FLOATS, 4))


ACCUMULATE = {types.uint64: _accumulate_popcount, types.float32: _accumulate_product}
FINISH = {
    (types.uint64, types.uint8): _words_to_bits,
    (types.uint64, types.int32): _words_to_sums,
    (types.float32, types.uint8): _floats_to_bits,
    (types.float32, types.int32): _floats_to_sums,
    (types.float32, types.float32): _floats_to_floats,
}
ELEMENT = {types.uint64: (I64, WORDS, 8), types.float32: (F32, FLOATS, 4)}
TABLE_BYTES = {types.int64: 8, types.int32: 4, types.float32: 4}


def _accumulators(builder, kind, pixels, vectors, at, x_at, w_at):
    """Values acc[p][v] after all taps; `at` holds the fields of the Geometry."""
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
def tile(typing_context, pixels, vectors, x, table, out, g, x_at, w_at, table_at, case_at, y_at):
    """Compute one tile and write it.

    Args:
        typing_context: Numba's.
        pixels: P, a literal.
        vectors: V, a literal.
        x: The input array; here only its element type matters, likewise for the next two.
        table: The table of constants.
        out: The output array, uint8 for packed signs.
        g: A Geometry.
        x_at: Address of the first tap of the first pixel.
        w_at: Address of the weights of the V vectors, (taps, V, lanes).
        table_at: Address of the constants of these channels in row 0 of the table.
        case_at: Address of P int64 row numbers of the table, one for each pixel.
        y_at: Address of the first pixel's output.
    """
    p_count, v_count = pixels.literal_value, vectors.literal_value
    kinds = x.dtype, out.dtype
    signature = types.void(pixels, vectors, x, table, out, g, *[types.int64] * 5)
    lanes = LANES[x.dtype]
    constant_bytes = lanes * TABLE_BYTES[table.dtype]
    out_bytes = lanes // 8 if out.dtype == types.uint8 else lanes * 4

    def generate(context, builder, _signature, arguments):
        g, x_at, w_at, table_at, case_at, y_at = arguments[5:]
        at = {name: builder.extract_value(g, i) for i, name in enumerate(Geometry._fields)}
        accumulators = _accumulators(builder, x.dtype, p_count, v_count, at, x_at, w_at)
        for p in range(p_count):
            case = load(builder, builder.add(case_at, constant(8 * p)), I64, 8)
            row = builder.add(table_at, builder.mul(case, at["table_row"]))
            pixel = builder.add(y_at, builder.mul(constant(p), at["y_pixel"]))
            for v in range(v_count):
                constants = builder.add(row, constant(v * constant_bytes))
                value = FINISH[kinds](builder, accumulators[p][v], constants)
                _write(builder, value, builder.add(pixel, constant(v * out_bytes)))
        return context.get_dummy_value()

    return signature, generate
