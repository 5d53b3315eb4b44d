"""The random number generator Philox4x32-10, vectorized over eight counters.

A 32-bit word occupies the lower half of a 64-bit lane, so that one multiplication gives both
halves of the product. Bits in the upper halves are ignored.

References:
    J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel random numbers: as easy as 1, 2,
    3, SC 2011.
"""

from functools import reduce

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from bnnkit.runtime.kernels.vectors import I64, WORDS, broadcast, constant, load

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
"""Increments of the two key words after each round."""


def round_keys(key: tuple[int, int]) -> NDArray[np.int64]:
    """Return the keys of all rounds, int64 (ROUNDS, 2)."""
    return np.array(
        [[(k + r * w) % 2**32 for k, w in zip(key, WEYL, strict=True)] for r in range(ROUNDS)],
        np.int64,
    )


def words(builder, block, layer, sample, image, keys):
    """Generate four vectors of eight words from the counters (block + lane, layer, sample, image).

    Args:
        builder: LLVM's IRBuilder.
        block: First word of the counter in lane 0, an int64 like the next three.
        layer: Second word: number of the stochastic sign in the network.
        sample: Third word.
        image: Fourth word.
        keys: Address of the round keys.
    """
    # Words that are equal in all lanes stay scalars until they are combined with a vector.
    lanes = ir.Constant(WORDS, list(range(8)))
    x = [builder.add(broadcast(builder, block, WORDS), lanes), layer, sample, image]
    for index in range(ROUNDS):
        key = [
            load(builder, builder.add(keys, constant(at)), I64, 8)
            for at in (16 * index, 16 * index + 8)
        ]
        low, high = (_product(builder, x[2 * i], MULTIPLIERS[i]) for i in range(2))
        x = [
            _xor(builder, _upper_half(builder, high), x[1], key[0]),
            high,
            _xor(builder, _upper_half(builder, low), x[3], key[1]),
            low,
        ]
    return x


def _product(builder, word, multiplier):
    """Multiply the lower 32 bits of each lane; the product has 64 bits."""
    lower = builder.and_(word, _like(word, 0xFFFFFFFF))
    return builder.mul(lower, _like(word, multiplier))


def _upper_half(builder, product):
    return builder.lshr(product, _like(product, 32))


def _like(value, number):
    return ir.Constant(value.type, [number] * 8 if value.type == WORDS else number)


def _xor(builder, *values):
    """Xor scalars and vectors, combining the scalars first."""
    scalars = [value for value in values if value.type == I64]
    vectors = [value for value in values if value.type == WORDS]
    if scalars:
        scalar = reduce(builder.xor, scalars)
        vectors.append(broadcast(builder, scalar, WORDS) if vectors else scalar)
    return reduce(builder.xor, vectors)
