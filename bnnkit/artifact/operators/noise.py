"""The reference for the random numbers of a stochastic network, slow and plain.

docs/artifact.md, Sampling, defines the formulas. All other code that draws noise is compared with
this module.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.sample import TABLE_SIZE, Sample
from bnnkit.artifact.operators.philox import philox4x32

Array = NDArray[Any]

_GROUP = 64
"""The number of adjacent channels that share eight blocks."""


def place_of(p: Array, c: Array, channels: int) -> tuple[Array, Array, Array]:
    """Return the place of a sign's random number.

    Args:
        p: int64, the flat index over the axes after the channels.
        c: int64, the channel.
        channels: The number of channels of the signs.

    Returns:
        The block, the word in it, and the half of the word, 0 for the lower one.
    """
    c_64 = -(-channels // _GROUP) * _GROUP
    u = p * c_64 + c
    return u // 64 * 8 + u % 16 // 2, u % 64 // 16, u % 2


def quantile_indices(shape: tuple[int, ...], layer: int, sample: Sample) -> Array:
    """Compute the index of the quantile that each noisy sign of a layer uses.

    Args:
        shape: The shape of the signs, (N, C, ...).
        layer: The number of the layer.
        sample: Which random numbers to use.

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
    """Draw the noise z of a layer's signs, float32 of shape (N, C, ...).

    Args:
        shape: The shape of the signs.
        layer: The number of the layer.
        table: The quantiles, float32 (4096,).
        sample: Which random numbers to use.
    """
    if table.shape != (TABLE_SIZE,):
        raise ValueError(f"expected {TABLE_SIZE} quantiles, got shape {table.shape}")
    return np.asarray(table)[quantile_indices(shape, layer, sample)]
