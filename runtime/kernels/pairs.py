"""Micro-kernel for 8-bit images and 12-bit weights, on CPUs that add pairs of int16 products.

Inputs (pixels minus their zero point) and weights are int16. A lane of a vector holds two weights
of an output channel, which are multiplied with two neighbouring inputs:

    acc[p][v] += x[p][0] w[v][0] + x[p][1] w[v][1]

On AVX-512 with VNNI this is one instruction for 32 products, twice as many as a fused multiply-add
computes. The sums are int32 and below 2^24, so they equal the exact sums of the float kernel.
"""

from llvmlite import ir
from numba.core import cgutils

from bnnkit.runtime.kernels.vectors import I16, I32, I64, broadcast, constant, load

SHORTS = ir.VectorType(I16, 32)
INTS = ir.VectorType(I32, 16)
MULTIPLY_ADD = "llvm.x86.avx512.pmaddw.d.512"


def accumulators(builder, pixels, vectors, at, x_at, w_at):
    """Build the sums, int32 acc[p][v], over all taps.

    Args:
        builder: LLVM's IRBuilder.
        pixels: P, output pixels of the tile.
        vectors: V, vectors of output channels of the tile.
        at: Fields of the ConvolutionRecord; a run of odd length is padded with a zero weight.
        x_at: Address of the first tap of the first pixel, int16.
        w_at: Address of the weights, (pairs, V, 16, 2).
    """
    slots = [[cgutils.alloca_once(builder, INTS) for _ in range(vectors)] for _ in range(pixels)]
    for slot in (slot for row in slots for slot in row):
        builder.store(ir.Constant(INTS, None), slot)
    weight = cgutils.alloca_once_value(builder, w_at)
    pairs = builder.udiv(builder.add(at["run"], constant(1)), constant(2))
    with cgutils.for_range(builder, at["outer_count"], intp=I64) as outer:
        row = builder.add(x_at, builder.mul(outer.index, at["outer_step"]))
        with cgutils.for_range(builder, at["middle_count"], intp=I64) as middle:
            start = builder.add(row, builder.mul(middle.index, at["middle_step"]))
            with cgutils.for_range(builder, pairs, intp=I64) as inner:
                here = builder.load(weight)
                w = [
                    load(builder, builder.add(here, constant(64 * v)), SHORTS, 4)
                    for v in range(vectors)
                ]
                x = builder.add(start, builder.mul(inner.index, constant(4)))
                for p, slot_row in enumerate(slots):
                    pixel = builder.add(x, builder.mul(constant(p), at["x_pixel"]))
                    pair = broadcast(builder, load(builder, pixel, I32, 2), INTS)
                    for v, slot in enumerate(slot_row):
                        products = _multiply_add(builder, builder.bitcast(pair, SHORTS), w[v])
                        builder.store(builder.add(builder.load(slot), products), slot)
                builder.store(builder.add(here, constant(64 * vectors)), weight)
    return [[builder.load(slot) for slot in slot_row] for slot_row in slots]


def _multiply_add(builder, x, w):
    """Multiply pairs of int16 and add each pair; fused with the following addition by VNNI."""
    kind = ir.FunctionType(INTS, [SHORTS, SHORTS])
    function = cgutils.get_or_insert_function(builder.module, kind, MULTIPLY_ADD)
    return builder.call(function, [x, w])
