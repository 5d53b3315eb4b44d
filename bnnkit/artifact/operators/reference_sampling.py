"""The random numbers of a stochastic network, by their definition: slow, plain, and right.

docs/artifact.md, Sampling, defines them; every formula here stands there. Everything else that
draws noise is compared with this.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

from bnnkit.artifact.format import DOMAIN
from bnnkit.artifact.sample import TABLE_SIZE, Sample

Array = NDArray[Any]
Words = tuple[Array, Array, Array, Array]

_FACTORS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 2**32
_GROUP = 64
"""Neighbouring channels that eight blocks serve."""


def philox4x32(counter: Words, key: tuple[int, int]) -> Words:
    """Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011).

    Args:
        counter: Four arrays of words, 0 to 2^32 - 1, of shapes that broadcast.
        key: Two words.

    Returns:
        Four uint64 arrays of words, of one shape.
    """
    low, width = np.uint64(_WORD - 1), np.uint64(32)
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c).astype(np.uint64) for c in counter))
    for i in range(_ROUNDS):
        k0, k1 = (np.uint64((k + i * w) % _WORD) for k, w in zip(key, _WEYL, strict=True))
        p0, p2 = c0 * _FACTORS[0], c2 * _FACTORS[1]  # below 2^64: exact
        c0, c1, c2, c3 = (p2 >> width) ^ c1 ^ k0, p2 & low, (p0 >> width) ^ c3 ^ k1, p0 & low
    return c0, c1, c2, c3


def place_of(p: Array, c: Array, channels: int) -> tuple[Array, Array, Array]:
    """Where the random number of a sign is.

    Args:
        p: int64, flat index over the axes behind the channels.
        c: int64, the channel.
        channels: Of the signs.

    Returns:
        The block, the word in it, and the half of the word, 0 for the lower one.
    """
    c_64 = -(-channels // _GROUP) * _GROUP
    u = p * c_64 + c
    return u // 64 * 8 + u % 16 // 2, u % 64 // 16, u % 2


def quantile_indices(shape: tuple[int, ...], layer: int, sample: Sample) -> Array:
    """Which quantile each noisy sign of a layer draws.

    Args:
        shape: Of the signs, (N, C, ...).
        layer: The number of the layer.
        sample: Which random numbers.

    Returns:
        int64 of that shape, 0 to 4095.
    """
    images, channels, *sizes = shape
    n_positions = int(np.prod(sizes, dtype=np.int64))
    image = sample.image_offset + np.arange(images).reshape(-1, 1, 1)
    c = np.arange(channels).reshape(1, -1, 1)
    p = np.arange(n_positions).reshape(1, 1, -1)
    block, number, half = place_of(p, c, channels)
    words = philox4x32((block, np.asarray(layer), np.asarray(sample.counter), image), sample.key)
    word = np.choose(number, words).astype(np.int64)
    bits = np.where(half == 0, word % 2**16, word // 2**16)
    index: Array = (bits // 16) ^ sample.mirror
    return index.reshape(shape)


def draw(shape: tuple[int, ...], layer: int, table: Array, sample: Sample) -> Array:
    """The noise z of a layer's signs, float32 of shape (N, C, ...).

    Args:
        shape: Of the signs.
        layer: The number of the layer.
        table: The quantiles, float32 (4096,).
        sample: Which random numbers.
    """
    if table.shape != (TABLE_SIZE,):
        raise ValueError(f"expected {TABLE_SIZE} quantiles, got shape {table.shape}")
    return np.asarray(table)[quantile_indices(shape, layer, sample)]


class StochasticSign(OpRun):
    """+1 where x >= t + r z, two float32 operations, each rounded; z = 0 where sample < 0."""

    op_domain = DOMAIN

    def _run(
        self,
        x: Array,
        threshold: Array,
        noise_scale: Array,
        table: Array,
        seed: Array,
        image_offset: Array,
        sample: Array,
        antithetic: Array,
        layer: int,
    ) -> tuple[Array]:
        limit = threshold
        if int(sample) >= 0:
            chosen = Sample(
                seed=int(seed),
                index=int(sample),
                image_offset=int(image_offset),
                antithetic=bool(antithetic),
            )
            limit = threshold + noise_scale * draw(x.shape, layer, table, chosen)
        return (np.where(x >= limit, 2, 0).astype(np.uint8),)


class WeightDraw(OpRun):
    """The likelier weights, or one of the stored draws."""

    op_domain = DOMAIN

    def _run(self, weights: Array, sample: Array) -> tuple[Array]:
        row = 0 if int(sample) < 0 else 1 + int(sample) % (len(weights) - 1)
        return (weights[row],)


class Philox(OpRun):
    """Philox4x32-10."""

    op_domain = DOMAIN

    def _run(
        self, c0: Array, c1: Array, c2: Array, c3: Array, k0: Array, k1: Array
    ) -> tuple[Array, ...]:
        words = philox4x32((c0, c1, c2, c3), (int(k0), int(k1)))
        return tuple(word.astype(np.uint32) for word in words)


NOISE_OPERATORS: Final = (StochasticSign, WeightDraw, Philox)
"""For ONNX's reference evaluator."""
