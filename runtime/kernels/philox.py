"""The random number generator Philox4x32-10, vectorized over eight counters.

In `words`, a 32-bit word occupies the lower half of a 64-bit lane, so that one multiplication
gives both halves of the product. Bits in the upper halves are ignored. `narrow_words` is for CPUs
that multiply lanes of 32 bits to 64 (AArch64): all lanes hold words.

References:
    J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel random numbers: as easy as 1, 2,
    3, SC 2011.
"""

from functools import reduce

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from bnnkit.runtime.kernels import neon
from bnnkit.runtime.kernels.neon import INTS
from bnnkit.runtime.kernels.vectors import I32, I64, WORDS, broadcast, constant, load

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


def narrow_words(builder, block, layer, sample, image, keys):
    """Generate the words of `words` as four pairs of vectors of four words."""
    first = broadcast(builder, builder.trunc(block, I32), INTS)
    lanes = [ir.Constant(INTS, list(range(start, start + 4))) for start in (0, 4)]
    x = [
        [builder.add(first, four) for four in lanes],
        *(builder.trunc(word, I32) for word in (layer, sample, image)),
    ]
    for index in range(ROUNDS):
        key = [
            load(builder, builder.add(keys, constant(at)), I32, 8)
            for at in (16 * index, 16 * index + 8)
        ]
        products = [_narrow_product(builder, x[2 * i], MULTIPLIERS[i]) for i in range(2)]
        (high_0, low_0), (high_2, low_2) = products
        x = [
            _narrow_xor(builder, high_2, x[1], key[0]),
            low_2,
            _narrow_xor(builder, high_0, x[3], key[1]),
            low_0,
        ]
    return x


def _narrow_product(builder, word, multiplier):
    """Multiply a scalar, or a pair of vectors; returns the upper and the lower words."""
    if not isinstance(word, list):
        product = builder.mul(builder.zext(word, I64), constant(multiplier))
        upper = builder.lshr(product, constant(32))
        return builder.trunc(upper, I32), builder.trunc(product, I32)
    products = [neon.multiply_words(builder, four, multiplier) for four in word]
    return [high for high, _ in products], [low for _, low in products]


def _narrow_xor(builder, *values):
    """Xor scalars and pairs of vectors, combining the scalars first."""
    scalars = [value for value in values if not isinstance(value, list)]
    pairs = [value for value in values if isinstance(value, list)]
    if scalars:
        scalar = reduce(builder.xor, scalars)
        if not pairs:
            return scalar
        pairs.append([broadcast(builder, scalar, INTS)] * 2)
    return [reduce(builder.xor, parts) for parts in zip(*pairs, strict=True)]


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
