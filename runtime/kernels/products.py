"""Matrix products of packed signs with packed signs, by popcount.

A row of the left matrix is W words of 64 signs. The right matrix has its word w of column s at
(w, s), with the columns padded to whole vectors. Each lane of a vector counts for one column:

    sum[s] = K - 2 * sum over w of popcount(x[w] ^ y[w, s])

Bits past K are clear on both sides and vanish in the xor.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.kernels.maps import partition
from bnnkit.runtime.kernels.records import ProductRecord, read
from bnnkit.runtime.kernels.vectors import I32, I64, WORDS, broadcast, call, load, store

LANES = 8
"""Columns of a vector."""


@intrinsic
def _columns(typing_context, x_at, words, y_at, y_word, terms, sum_at):
    """Compute the int32 sums of a row with eight columns.

    Args:
        typing_context: Numba's.
        x_at: Address of the row.
        words: W.
        y_at: Address of the first word of the columns.
        y_word: Bytes from a word of a column to the next.
        terms: K.
        sum_at: Address of the sums.
    """

    def generate(context, builder, _signature, arguments):
        x_at, words, y_at, y_word, terms, sum_at = arguments
        slot = cgutils.alloca_once_value(builder, ir.Constant(WORDS, [0] * LANES))
        with cgutils.for_range(builder, words, intp=I64) as loop:
            place = builder.add(x_at, builder.mul(loop.index, ir.Constant(I64, 8)))
            word = broadcast(builder, load(builder, place, I64, 8), WORDS)
            column = builder.add(y_at, builder.mul(loop.index, y_word))
            differs = builder.xor(word, load(builder, column, WORDS, 8))
            count = call(builder, "llvm.ctpop.v8i64", differs)
            builder.store(builder.add(builder.load(slot), count), slot)
        twice = builder.shl(builder.load(slot), ir.Constant(WORDS, [1] * LANES))
        sums = builder.sub(broadcast(builder, terms, WORDS), twice)
        store(builder, builder.trunc(sums, ir.VectorType(I32, LANES)), sum_at, 4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


def multiply(at, thread, threads):
    """Compute a thread's rows of all products; `at` is a ProductRecord."""
    r = read(ProductRecord, at)
    first, last = partition(r.matrices * r.rows, thread, threads)
    for row in range(first, last):
        y_at = r.y + row // r.rows * r.y_matrix
        for block in range(r.blocks):
            _columns(
                r.x + row * r.x_row,
                r.words,
                y_at + block * 64,
                r.y_word,
                r.terms,
                r.sums + row * r.sums_row + block * 32,
            )
