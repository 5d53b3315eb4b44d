"""Micro-kernel for binary weights and real activations, on CPUs with AVX-512.

Four inputs of a pixel have sixteen signed sums +-x0 +-x1 +-x2 +-x3, which fill one vector. A
permutation of this vector looks up the sum for sixteen output channels by their four weights:

    acc[p][v] += permute(SUMS(x[p]), w[v])

For four inputs and sixteen channels this takes two instructions, a permutation and an addition,
plus four to make the sums, which all channels share; multiplication takes four. The weights take
one bit each: a byte holds eight weights of a channel, as two nibbles.
"""

from llvmlite import ir
from numba.core import cgutils

from bnnkit.runtime.kernels.vectors import (
    F32,
    FLOATS,
    I8,
    I32,
    I64,
    broadcast,
    call,
    constant,
    load,
)

INDICES = ir.VectorType(I32, 16)
BYTES = ir.VectorType(I8, 16)
TAPS = 8
"""Inputs per byte of weights."""
PERMUTE = "llvm.x86.avx512.permvar.sf.512"
SIGNS = [[-1.0 if lane >> bit & 1 else 1.0 for lane in range(16)] for bit in range(4)]
"""SIGNS[k][w]: sign of input k for the weights w, where a set bit is -1."""


def accumulators(builder, pixels, vectors, at, x_at, w_at):
    """Build the sums acc[p][v] over all taps.

    Args:
        builder: LLVM's IRBuilder.
        pixels: P, output pixels of the tile.
        vectors: V, vectors of output channels of the tile.
        at: Fields of the ConvolutionRecord; `run` is the number of channels of a pixel.
        x_at: Address of the first tap of the first pixel, float32.
        w_at: Address of the weights, (bytes, V, 16).
    """
    slots = [[cgutils.alloca_once(builder, FLOATS) for _ in range(vectors)] for _ in range(pixels)]
    for slot in (slot for row in slots for slot in row):
        builder.store(ir.Constant(FLOATS, None), slot)
    weight = cgutils.alloca_once_value(builder, w_at)
    whole = builder.udiv(at["run"], constant(TAPS))
    rest = builder.urem(at["run"], constant(TAPS))
    step = constant(16 * vectors)
    with cgutils.for_range(builder, at["outer_count"], intp=I64) as outer:
        row = builder.add(x_at, builder.mul(outer.index, at["outer_step"]))
        with cgutils.for_range(builder, at["middle_count"], intp=I64) as middle:
            start = builder.add(row, builder.mul(middle.index, at["middle_step"]))
            with cgutils.for_range(builder, whole, intp=I64) as inner:
                x = builder.add(start, builder.mul(inner.index, constant(4 * TAPS)))
                _eight_taps(builder, slots, at, x, builder.load(weight), None)
                builder.store(builder.add(builder.load(weight), step), weight)
            with builder.if_then(builder.icmp_unsigned(">", rest, constant(0))):
                x = builder.add(start, builder.mul(whole, constant(4 * TAPS)))
                _eight_taps(builder, slots, at, x, builder.load(weight), rest)
                builder.store(builder.add(builder.load(weight), step), weight)
    return [[builder.load(slot) for slot in row] for row in slots]


def _eight_taps(builder, slots, at, x, w_at, count):
    """Add eight taps, or the first `count` of them where the run ends."""
    pixels = [builder.add(x, builder.mul(constant(p), at["x_pixel"])) for p in range(len(slots))]
    packed = [
        builder.zext(load(builder, builder.add(w_at, constant(16 * v)), BYTES, 1), INDICES)
        for v in range(len(slots[0]))
    ]
    for half in range(2):
        tables = [_signed_sums(builder, pixel, 4 * half, count) for pixel in pixels]
        for v, pair in enumerate(packed):
            # The permutation uses only the lowest four bits of an index.
            index = builder.lshr(pair, ir.Constant(INDICES, [4] * 16)) if half else pair
            for table, row in zip(tables, slots, strict=True):
                found = _permute(builder, table, index)
                builder.store(builder.fadd(builder.load(row[v]), found), row[v])


def _signed_sums(builder, pixel, first, count):
    """Compute the sixteen signed sums of four inputs."""
    sums = None
    for k in range(4):
        value = load(builder, builder.add(pixel, constant(4 * (first + k))), F32, 4)
        if count is not None:
            is_there = builder.icmp_unsigned("<", constant(first + k), count)
            value = builder.select(is_there, value, ir.Constant(F32, 0.0))
        signs, lanes = ir.Constant(FLOATS, SIGNS[k]), broadcast(builder, value, FLOATS)
        if sums is None:
            sums = builder.fmul(lanes, signs)
        else:
            sums = call(builder, "llvm.fmuladd.v16f32", lanes, signs, sums)
    return sums


def _permute(builder, table, index):
    kind = ir.FunctionType(FLOATS, [FLOATS, INDICES])
    function = cgutils.get_or_insert_function(builder.module, kind, PERMUTE)
    return builder.call(function, [table, index])
