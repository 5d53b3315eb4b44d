"""Table-lookup micro-kernel, for CPUs without a vector popcount instruction, such as AVX2.

Output channels lie across the 32 or 64 *bytes* of a vector. Four inputs of a pixel form a nibble
a, four weights of a channel a nibble w. For a given a, popcount(a ^ w) is one of 16 numbers
indexed by w, so one byte shuffle looks them up for all channels at once:

    acc[p][v] += shuffle(TABLE[a[p]], w[v])         TABLE[a][w] = popcount(a ^ w)

A row of the table has 16 bytes, so inputs are stored as 16 a, one per byte: the offset of the row.
`unpack_nibbles` produces them from packed signs, once for all layers that read these signs.

Two instructions process four inputs of 32 channels; counting bits takes eight. A byte can hold 62
sums of at most 4 each; then the bytes are added to 16-bit accumulators.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.kernels.cpu import has_512_bits
from bnnkit.runtime.kernels.maps import partition
from bnnkit.runtime.kernels.records import NibblesRecord, read
from bnnkit.runtime.kernels.vectors import I8, I16, I32, I64, constant, load, store

LANES = 64 if has_512_bits() else 32
BYTES = ir.VectorType(I8, LANES)
SHORTS = ir.VectorType(I16, LANES)
INTS = ir.VectorType(I32, LANES)
SHUFFLE = {32: "llvm.x86.avx2.pshuf.b", 64: "llvm.x86.avx512.pshuf.b.512"}
FLUSH = 62
"""Nibbles that a byte can sum without overflow: 62 * 4 = 248. Even, as every run is."""
MOST_TAPS = 65535
"""Differing signs that 16 bits can count."""

TABLE = np.array([[(a ^ w).bit_count() for w in range(16)] for a in range(16)], np.uint8)


def accumulators(builder, pixels, vectors, at, x_at, w_at):
    """Build the counts of differing signs, int32 acc[p][v], over all taps.

    Args:
        builder: LLVM's IRBuilder.
        pixels: P, output pixels of the tile.
        vectors: V, vectors of output channels of the tile.
        at: Fields of the ConvolutionRecord; `run` and the steps are in nibbles.
        x_at: Address of the first tap of the first pixel.
        w_at: Address of the weights, (nibbles, V, lanes).
    """
    wide = [[cgutils.alloca_once(builder, SHORTS) for _ in range(vectors)] for _ in range(pixels)]
    for slot in (slot for row in wide for slot in row):
        builder.store(ir.Constant(SHORTS, None), slot)
    weight = cgutils.alloca_once_value(builder, w_at)
    with cgutils.for_range(builder, at["outer_count"], intp=I64) as outer:
        row = builder.add(x_at, builder.mul(outer.index, at["outer_step"]))
        with cgutils.for_range(builder, at["middle_count"], intp=I64) as middle:
            start = builder.add(row, builder.mul(middle.index, at["middle_step"]))
            with cgutils.for_range_slice(
                builder, constant(0), at["run"], constant(FLUSH), intp=I64
            ) as (first, _):
                left = builder.sub(at["run"], first)
                is_short = builder.icmp_signed("<", left, constant(FLUSH))
                count = builder.select(is_short, left, constant(FLUSH))
                x = builder.add(start, first)
                sums = _byte_sums(builder, wide, at, x, count, weight)
                _widen(builder, wide, sums)
    return [[builder.zext(builder.load(slot), INTS) for slot in row] for row in wide]


def _byte_sums(builder, wide, at, x, count, weight):
    """Sum `count` nibbles from address x into byte accumulators; advances the weight pointer."""
    vectors = len(wide[0])
    sums = [[cgutils.alloca_once(builder, BYTES) for _ in row] for row in wide]
    for slot in (slot for row in sums for slot in row):
        builder.store(ir.Constant(BYTES, None), slot)
    pixels = [builder.add(x, builder.mul(constant(p), at["x_pixel"])) for p in range(len(wide))]
    pairs = builder.udiv(count, constant(2))
    with cgutils.for_range(builder, pairs, intp=I64) as step:
        w_at = builder.load(weight)
        first = builder.mul(step.index, constant(2))
        for half in range(2):
            place = builder.add(first, constant(half))
            rows = [_table_row(builder, at["lookup"], builder.add(p, place)) for p in pixels]
            for v in range(vectors):
                w = load(
                    builder,
                    builder.add(w_at, constant((half * vectors + v) * LANES)),
                    BYTES,
                    1,
                )
                for p, row in enumerate(rows):
                    differing = shuffle(builder, row, w)
                    slot = sums[p][v]
                    builder.store(
                        opaque(builder, builder.add(builder.load(slot), differing)), slot
                    )
        builder.store(builder.add(w_at, constant(2 * vectors * LANES)), weight)
    return sums


def _table_row(builder, table, nibble_at):
    """Load the TABLE row of the nibble at an address, repeated in every 16 bytes."""
    offset = builder.zext(load(builder, nibble_at, I8, 1), I64)
    row = load(builder, builder.add(table, offset), ir.VectorType(I8, 16), 1)
    lanes = [lane % 16 for lane in range(LANES)]
    mask = ir.Constant(ir.VectorType(I32, LANES), lanes)
    return builder.shuffle_vector(row, ir.Constant(row.type, ir.Undefined), mask)


@intrinsic
def _unpack_word(typing_context, x_at, y_at):
    """Unpack eight bytes of packed signs to sixteen nibbles, the low nibble of a byte first."""

    def generate(context, builder, _signature, arguments):
        kind = ir.VectorType(I8, 8)
        x = load(builder, arguments[0], kind, 1)
        low = builder.shl(x, ir.Constant(kind, [4] * 8))
        high = builder.and_(x, ir.Constant(kind, [0xF0] * 8))
        order = [place // 2 + 8 * (place % 2) for place in range(16)]
        mask = ir.Constant(ir.VectorType(I32, 16), order)
        store(builder, builder.shuffle_vector(low, high, mask), arguments[1], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def unpack_nibbles(at, thread, threads):
    """Unpack packed signs to nibbles; `at` is a NibblesRecord."""
    s = read(NibblesRecord, at)
    first, last = partition(s.words, thread, threads)
    for word in range(first, last):
        _unpack_word(s.x + 8 * word, s.y + 16 * word)


def shuffle(builder, row, w):
    """Select, for each byte 0 to 15 of w, that byte of the row, within each group of 16 bytes."""
    kind = ir.FunctionType(BYTES, [BYTES, BYTES])
    function = cgutils.get_or_insert_function(builder.module, kind, SHUFFLE[LANES])
    return builder.call(function, [row, w])


def opaque(builder, value):
    """Return the value unchanged, hidden from the optimizer by an empty inline assembly.

    Otherwise LLVM would add the lookups of both nibbles first and run out of registers.
    """
    kind = ir.FunctionType(value.type, [value.type])
    return builder.asm(kind, "", "=v,0", [value], side_effect=False)


def _widen(builder, wide, sums):
    """Add the byte sums to the 16-bit accumulators."""
    for wide_row, row in zip(wide, sums, strict=True):
        for slot, byte_slot in zip(wide_row, row, strict=True):
            more = builder.zext(builder.load(byte_slot), SHORTS)
            builder.store(builder.add(builder.load(slot), more), slot)
