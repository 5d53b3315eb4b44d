"""Weights, constants and border cases in the order in which the kernels read them."""

from itertools import product
from typing import Any

import numpy as np
from numba.np.numpy_support import from_dtype
from numpy.typing import NDArray

from bnnkit.runtime import aligned
from bnnkit.runtime.kernels import lookup
from bnnkit.runtime.kernels.tile import WIDE

LANES = {
    np.dtype(np.uint64): 8,
    np.dtype(np.uint8): lookup.LANES,
    np.dtype(np.float32): 16,
    np.dtype(np.int8): 16,
    np.dtype(np.int32): 16,
}
"""Output channels in a vector of weights: of words, nibbles, floats, octets and pairs."""


def nibbles(signs: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Weights for kernels that look sums up: four input channels a byte.

    Args:
        signs: (O, KH, KW, I), values in {-1, +1}.

    Returns:
        (O, KH * KW * ceil(I / 8) * 2), values 0..15, the lowest channel in the lowest bit.
    """
    packed = np.packbits(signs < 0, axis=-1, bitorder="little")
    pairs: NDArray[np.uint8] = np.stack([packed & 15, packed >> 4], axis=-1)
    return pairs.reshape(len(signs), -1)


def octets(signs: NDArray[Any]) -> NDArray[np.int8]:
    """Weights that meet real activations: eight input channels a byte.

    Args:
        signs: (O, KH, KW, I), values in {-1, +1}.

    Returns:
        (O, KH * KW * ceil(I / 8)), the lowest channel in the lowest bit; a set bit is -1.
    """
    packed = np.packbits(signs < 0, axis=-1, bitorder="little")
    return packed.reshape(len(signs), -1).view(np.int8)


def pairs(weight: NDArray[np.int16]) -> NDArray[np.int32]:
    """Weights of the first layer: two neighbouring taps of a kernel's row in 32 bits.

    Args:
        weight: (O, KH, KW, I).

    Returns:
        (O, KH * ceil(KW * I / 2)); the first tap of a pair is in the lower half.
    """
    channels, height, width, inputs = weight.shape
    taps = np.zeros((channels, height, -(-width * inputs // 2) * 2), "<i2")
    taps[..., : width * inputs] = weight.reshape(channels, height, -1)
    return taps.view("<i4").reshape(channels, -1)


def padded_channels(channels: int, lanes: int) -> int:
    """`channels` rounded up to whole vectors."""
    return -(-channels // lanes) * lanes


def padded(numbers: NDArray[Any]) -> NDArray[Any]:
    """One number a channel, with zeros behind, so that whole vectors can be read."""
    return np.concatenate([numbers, np.zeros(16, numbers.dtype)])


def lanes(weight: NDArray[Any]) -> NDArray[Any]:
    """Lay the output channels of a weight across the lanes of vectors.

    Args:
        weight: (O, taps), taps in the order of the input: uint64 words, uint8 nibbles, float32, or
            int8 octets, int32 pairs.

    Returns:
        One dimension: wide blocks (taps, `wide`, lanes), then single vectors (taps, 1, lanes).
    """
    return _blocks(_vectors(weight, LANES[weight.dtype]))


def depthwise_lanes(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay the channels of a depthwise weight across the lanes of vectors.

    Args:
        weight: (C, KH, KW).

    Returns:
        (vectors, KH * KW, 16), zeros behind the last channel.
    """
    vectors = _vectors(weight.reshape(len(weight), -1), 16)
    return aligned.copy(vectors.transpose(0, 2, 1))


def wide(dtype: np.dtype[Any]) -> int:
    """Vectors of weights of that type in a wide block."""
    return int(WIDE[from_dtype(dtype)])


def _vectors(weight: NDArray[Any], per_vector: int) -> NDArray[Any]:
    """(O, taps) as (vectors, lanes, taps), padded with zeros."""
    channels, taps = weight.shape
    padded = np.zeros((padded_channels(channels, per_vector), taps), weight.dtype)
    padded[:channels] = weight
    return padded.reshape(-1, per_vector, taps)


def _blocks(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors (vectors, lanes, taps) in the order in which tiles read them."""
    _, per_vector, taps = vectors.shape
    block = wide(vectors.dtype)
    n_wide = len(vectors) // block * block
    blocks = vectors[:n_wide].reshape(-1, block, per_vector, taps).transpose(0, 3, 1, 2)
    single = vectors[n_wide:].transpose(0, 2, 1)
    return aligned.copy(np.concatenate([blocks.ravel(), single.ravel()]))


def border_cases(
    inputs: int, outputs: int, taps: int, stride: int, dilation: int, padding: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which taps fall on zero padding, along one axis.

    Args:
        inputs: Length of the input.
        outputs: Length of the output.
        taps: Length of the kernel.
        stride: In input elements; so are the next two.
        dilation: Distance of the taps.
        padding: Zeros before the input.

    Returns:
        The case of each output, (outputs,), and for each case the taps outside, (cases, taps).
    """
    first = np.arange(outputs)[:, None] * stride - padding
    position = first + np.arange(taps) * dilation
    outside = (position < 0) | (position >= inputs)
    cases, case_of = np.unique(outside, axis=0, return_inverse=True)
    return case_of.reshape(-1).astype(np.int64), cases


def padding_sums(
    signs: NDArray[np.int8], vertical: NDArray[np.bool_], horizontal: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Sum of the weights that fall on zero padding, for each pair of border cases.

    A margin of clear bits counts as +1 in the kernels, so this much is too much in their sums.

    Args:
        signs: (O, KH, KW, I), values in {-1, +1}.
        vertical: (cases, KH), true where the row of the kernel is outside.
        horizontal: (cases, KW), likewise.

    Returns:
        (vertical cases * horizontal cases, O).
    """
    if not vertical.any() and not horizontal.any():
        return np.zeros((1, len(signs)), np.int64)
    taps = signs.sum(axis=3, dtype=np.int64)
    rows = [
        taps[:, top[:, None] | left[None, :]].sum(axis=1)
        for top, left in product(vertical, horizontal)
    ]
    return np.array(rows)


def limits(
    sums_at_zero: NDArray[np.int64], thresholds: NDArray[np.int64], lanes: int
) -> NDArray[Any]:
    """The largest count of unlike signs at which the sign is still +1, padded to vectors.

    sum = base - 2 * count >= t  <=>  count <= floor((base - t) / 2).

    Args:
        sums_at_zero: (cases, O): base, the sum when no sign differs.
        thresholds: (O,): t.
        lanes: Channels in a vector; 8 means counts of 64 bits, more of 32.

    Returns:
        int64 or int32, (cases, O padded to vectors); padding channels never exceed theirs, so
        their bits stay clear.
    """
    cases, channels = sums_at_zero.shape
    dtype = np.int64 if lanes == 8 else np.int32
    table = np.full((cases, padded_channels(channels, lanes)), np.iinfo(dtype).max, dtype)
    table[:, :channels] = np.floor_divide(sums_at_zero - thresholds, 2)
    return table


def bases(sums: NDArray[np.int64], lanes: int) -> NDArray[np.int32]:
    """The table of a kernel that writes sums of signs.

    Args:
        sums: (cases, O), the sum when no sign differs.
        lanes: Channels in a vector.

    Returns:
        int32, (cases, O padded to vectors).
    """
    cases, channels = sums.shape
    table = np.zeros((cases, padded_channels(channels, lanes)), np.int32)
    table[:, :channels] = sums
    return table


def scales(rows: NDArray[np.float32], lanes: int) -> NDArray[np.float32]:
    """Scale and bias, (2, O), padded to vectors."""
    padding = padded_channels(rows.shape[1], lanes) - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, padding)))


def thresholds_of(thresholds: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The table of a kernel whose inputs are no signs and whose outputs are.

    Args:
        thresholds: (O,) of one group.
        dtype: Of its sums, float32 or int32.

    Returns:
        (1, O padded to vectors); padding channels are never below theirs: their bits stay clear.
    """
    channels = len(thresholds)
    lowest = -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
    table = np.full((1, padded_channels(channels, 16)), lowest, dtype)
    table[0, :channels] = thresholds
    return table
