"""The bit convention of all packed signs and weights.

A set bit is -1, a clear bit is +1. The lowest bit is the lowest channel, words are little-endian,
channels are the last axis, and bits past the last channel are clear. So

    dot(a, b) = n - 2 * popcount(a ^ b)

needs no mask (padding bits cancel in the xor), and a zero word is padding with +1.
sign(0) is +1, for -0.0 too.
"""

from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnnkit.errors import UsageError

WORD_BITS = 64


def n_words(n_bits: int) -> int:
    """Return the number of 64-bit words that hold `n_bits` bits."""
    return -(-n_bits // WORD_BITS)


def pack_signs(values: ArrayLike) -> NDArray[np.uint64]:
    """Pack signs along the last axis into words.

    Args:
        values: Shape (..., C). The sign of an element below 0 is -1, of every other +1.

    Returns:
        uint64, shape (..., ceil(C / 64)).
    """
    negative = np.less(values, 0)
    channels = negative.shape[-1]
    padded = np.zeros((*negative.shape[:-1], n_words(channels) * WORD_BITS), np.bool_)
    padded[..., :channels] = negative
    words = np.packbits(padded, axis=-1, bitorder="little").view("<u8")
    return words.astype(np.uint64, copy=False)


def unpack_signs(words: NDArray[np.uint64], channels: int) -> NDArray[np.int8]:
    """Unpack signs from words, the inverse of `pack_signs`.

    Args:
        words: uint64, shape (..., ceil(C / 64)).
        channels: The number of channels, C.

    Returns:
        int8, shape (..., C), values in {-1, +1}.
    """
    as_bytes = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    bits = np.unpackbits(as_bytes, axis=-1, count=channels, bitorder="little")
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8)


def pack_weight(signs: ArrayLike) -> NDArray[np.uint8]:
    """Pack a weight tensor into bytes as the artifact stores it, without gaps between rows.

    Args:
        signs: Any shape, values in {-1, +1}, input channels last: (O, KH, KW, I) or (O, I).

    Returns:
        uint8, shape (ceil(O * KH * KW * I / 8),).
    """
    return np.packbits(np.less(signs, 0).ravel(), bitorder="little")


def unpack_weight(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Unpack the signs of a weight tensor, the inverse of `pack_weight`.

    Args:
        packed: uint8, shape (ceil(prod(shape) / 8),).
        shape: (O, KH, KW, I) or (O, I).

    Returns:
        int8, of that shape, values in {-1, +1}.

    Raises:
        UsageError: If the number of bytes does not match the shape.
    """
    check_packed_size(packed, shape)
    count = prod(shape)
    bits = np.unpackbits(packed, count=count, bitorder="little")
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8).reshape(shape)


def check_packed_size(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
    """Check the number of bytes of a packed weight.

    Raises:
        UsageError: If the number of bytes does not match the shape.
    """
    size = -(-prod(shape) // 8)
    if packed.size != size:
        raise UsageError(
            f"expected {size} bytes of packed weights for the shape {shape}, got {packed.size}"
        )
