"""Micro-kernel of a tile: P output pixels times V vectors of output channels, all in registers.

    acc[p][v] = sum over taps of  popcount(x[p] ^ w[v])    uint64 weights, 64 inputs per lane
                                  the same by lookup       uint8 weights (lookup.py)
                                  x[p] * w[v]              float32 weights, 1 input per lane
                                  the same for w = +-1     int8 weights (signed_sums.py)
                                  the same for int16       int32 weights (pairs.py)

Output channels lie across the lanes, so there are no horizontal sums. Each input element is
broadcast; the weights of a tap are V consecutive vectors. The loop over taps is nested three times
(kernel rows, kernel columns, words or channels); the innermost run is contiguous in memory.

epilogue.py turns the accumulators into outputs.
"""

from contextlib import contextmanager

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.kernels import lookup, pairs, signed_sums
from bnnkit.runtime.kernels.cpu import has_512_bits
from bnnkit.runtime.kernels.epilogue import LANES, write_epilogue
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord
from bnnkit.runtime.kernels.vectors import (
    F32,
    FLOATS,
    I64,
    WORDS,
    broadcast,
    call,
    constant,
    load,
    store,
)

OTHER_FORMS = {
    types.uint8: lookup.accumulators,
    types.int8: signed_sums.accumulators,
    types.int32: pairs.accumulators,
}
"""Forms defined in other files, by the type of the weights."""
WIDE = {
    types.uint64: 4,
    types.int8: 4,
    types.int32: 4,
    types.uint8: 4 if has_512_bits() else 2,
    types.float32: 4 if has_512_bits() else 2,
    types.int64: 1,
    types.int16: 1,
    types.uint32: 1,
}
"""Vectors of output channels per tile. Remaining vectors are computed one at a time."""
MAX_ACCUMULATORS = {
    types.uint64: 16,
    types.int8: 16,
    types.int32: 16,
    types.uint8: 16 if has_512_bits() else 8,
    types.float32: 16 if has_512_bits() else 4,
}
"""Number of accumulators that fit into registers beside inputs and weights."""


@intrinsic
def wide(typing_context, w):
    """Return WIDE for the dtype of an array, as a literal."""
    count = types.literal(WIDE[w.dtype])
    return count(w), lambda context, builder, signature, arguments: constant(count.literal_value)


@intrinsic
def has_tile_of_three(typing_context, w):
    """Whether there is a tile of three pixels, for the dtype of an array."""
    is_popcount = w.dtype == types.uint64

    def generate(context, builder, _signature, _arguments):
        return ir.Constant(ir.IntType(1), int(is_popcount))

    return types.boolean(w), generate


def _accumulate_popcount(builder, accumulator, x, w):
    differing = call(builder, "llvm.ctpop.v8i64", builder.xor(x, w))
    return builder.add(accumulator, differing)


def _accumulate_product(builder, accumulator, x, w):
    return call(builder, "llvm.fmuladd.v16f32", x, w, accumulator)


ACCUMULATE = {types.uint64: _accumulate_popcount, types.float32: _accumulate_product}
ELEMENT = {types.uint64: (I64, WORDS, 8), types.float32: (F32, FLOATS, 4)}


def _accumulators(builder, kind, pixels, vectors, at, x_at, w_at):
    """Build acc[p][v] over all taps; `at` holds the fields of the ConvolutionRecord."""
    if kind in OTHER_FORMS:
        return OTHER_FORMS[kind](builder, pixels, vectors, at, x_at, w_at)
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


@intrinsic(prefer_literal=True)
def tile(
    typing_context,
    pixels,
    vectors,
    w,
    y,
    c,
    x_at,
    w_at,
    vector,
    case_at,
    y_at,
    y_pixel,
    added_at,
    signs_at,
):
    """Compute one tile and write it.

    Args:
        typing_context: Numba's.
        pixels: P, a literal.
        vectors: V, a literal.
        w: An array of the weights' dtype; only the dtype matters, also of y.
        y: An array of the output's dtype, uint8 for packed signs.
        c: A ConvolutionRecord.
        x_at: Address of the first tap of the first pixel.
        w_at: Address of the weights of the V vectors, (taps, V, lanes).
        vector: Index of the first of the V vectors of channels.
        case_at: Address of P int64, the table row of each pixel.
        y_at: Address of the first pixel's output.
        y_pixel: Bytes between the outputs of the pixels.
        added_at: Address of the first pixel of the map that is added.
        signs_at: Address of the signs of the first pixel, if they are wanted.
    """
    p_count, v_count = pixels.literal_value, vectors.literal_value
    signature = types.void(pixels, vectors, w, y, c, *[types.int64] * 8)
    p_part = min(
        p_count, MAX_ACCUMULATORS[w.dtype] // v_count
    )  # pixels that do not fit are done in parts

    def generate(context, builder, _signature, arguments):
        record, x_at, w_at, vector, case_at, y_at, y_pixel, added_at, signs_at = arguments[4:]
        at = {
            name: builder.extract_value(record, i)
            for i, name in enumerate(ConvolutionRecord._fields)
        }
        with steps(builder, p_count, p_part) as pixel:
            x_part = builder.add(x_at, builder.mul(pixel, at["x_pixel"]))
            accumulators = _accumulators(builder, w.dtype, p_part, v_count, at, x_part, w_at)
            y_part = builder.add(y_at, builder.mul(pixel, y_pixel))
            case_part = builder.add(case_at, builder.mul(pixel, constant(8)))
            added = builder.add(added_at, builder.mul(pixel, at["added_pixel"]))
            signs = builder.add(signs_at, builder.mul(pixel, at["signs_pixel"]))
            write_epilogue(
                builder,
                w.dtype,
                y.dtype,
                accumulators,
                at,
                vector,
                case_part,
                (y_part, y_pixel),
                added,
                signs,
            )
        return context.get_dummy_value()

    return signature, generate


@contextmanager
def steps(builder, count, step):
    """Build a loop over 0, step, 2 step, ... below count."""
    bounds = constant(0), constant(count), constant(step)
    with cgutils.for_range_slice(builder, *bounds, intp=I64) as (index, _):
        yield index


@intrinsic(prefer_literal=True)
def maximum(typing_context, vectors, w, top, bottom, pixel, y_at):
    """Compute the maximum of four pixels of packed signs, the AND of their bits.

    Args:
        typing_context: Numba's.
        vectors: V, a literal; w gives the lanes of a vector.
        w: An array of the dtype of the convolution's weights.
        top: Address of the upper left pixel.
        bottom: Address of the lower left pixel.
        pixel: Bytes to the right pixels.
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
