"""Layout of weights and constants in the order in which the kernels read them."""

from itertools import product
from typing import Any

import numpy as np
from numba.np.numpy_support import from_dtype
from numpy.typing import NDArray

from bnnkit.runtime.kernels import lookup, panel, product_panel
from bnnkit.runtime.kernels.tile import WIDE
from bnnkit.runtime.memory import aligned

LANES = {
    np.dtype(np.uint64): 8,
    np.dtype(np.uint8): lookup.LANES,
    np.dtype(np.float32): 16,
    np.dtype(np.int8): 16,
    np.dtype(np.int32): 16,
    np.dtype(np.int64): panel.CHANNELS,
    np.dtype(np.int16): product_panel.CHANNELS,
    np.dtype(np.uint32): product_panel.CHANNELS,
}
"""Output channels per vector of weights: words, nibbles, floats, octets, pairs, and the panels of
signs, shorts and quads."""


def nibbles(signs: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Pack weights for table-lookup kernels: four input channels per byte.

    Args:
        signs: (O, KH, KW, I), values in {-1, +1}.

    Returns:
        uint8 (O, KH * KW * ceil(I / 8) * 2), values 0..15, lowest channel in the lowest bit.
    """
    packed = np.packbits(signs < 0, axis=-1, bitorder="little")
    pairs: NDArray[np.uint8] = np.stack([packed & 15, packed >> 4], axis=-1)
    return pairs.reshape(len(signs), -1)


def octets(signs: NDArray[Any]) -> NDArray[np.int8]:
    """Pack binary weights for real activations: eight input channels per byte.

    Args:
        signs: (O, KH, KW, I), values in {-1, +1}.

    Returns:
        int8 (O, KH * KW * ceil(I / 8)), lowest channel in the lowest bit; a set bit is -1.
    """
    packed = np.packbits(signs < 0, axis=-1, bitorder="little")
    return packed.reshape(len(signs), -1).view(np.int8)


def pairs(weight: NDArray[np.int16]) -> NDArray[np.int32]:
    """Pack weights of the first layer: two neighbouring taps of a kernel row in 32 bits.

    Args:
        weight: (O, KH, KW, I).

    Returns:
        int32 (O, KH * ceil(KW * I / 2)); the first tap of a pair is in the lower half.
    """
    channels, height, width, inputs = weight.shape
    taps = np.zeros((channels, height, -(-width * inputs // 2) * 2), "<i2")
    taps[..., : width * inputs] = weight.reshape(channels, height, -1)
    return taps.view("<i4").reshape(channels, -1)


def panel_taps(weight: NDArray[np.int16], *, has_runs: bool, multiple: int) -> NDArray[np.int16]:
    """Put the taps of the first layer in the order of panels (product_panel.py).

    Args:
        weight: (O, KH, KW, I).
        has_runs: Whether the taps of a kernel row are contiguous, rather than those of a pixel.
        multiple: Taps of a step.

    Returns:
        (O, taps), padded with zeros to whole steps.
    """
    channels, height, width = weight.shape[:3]
    runs = weight.reshape(channels, height if has_runs else height * width, -1)
    whole = runs.shape[2] // multiple * multiple
    taps = np.concatenate(
        [part.reshape(channels, -1) for part in (runs[..., :whole], runs[..., whole:])], axis=1
    )
    return np.pad(taps, ((0, 0), (0, -taps.shape[1] % multiple)))


def quads(taps: NDArray[np.int16]) -> NDArray[np.uint32]:
    """Split weights into a high and a low part of 8 bits, and pack four taps in 32 bits.

    Args:
        taps: (O, taps) from `panel_taps`, at most MOST_SPLIT.

    Returns:
        uint32 (O, 2 * taps / 4), the high parts before the low ones.
    """
    low = taps.astype(np.int8)  # the lowest 8 bits, signed
    high = (taps - low) >> product_panel.PART_BITS
    return np.concatenate([high.astype(np.int8), low], axis=1).view("<u4")


MOST_SPLIT = 127 * 256 + 127
"""Largest weight whose high part has 8 bits."""


def padded_channels(channels: int, lanes: int) -> int:
    """Round a number of channels up to whole vectors."""
    return -(-channels // lanes) * lanes


def padded(numbers: NDArray[Any]) -> NDArray[Any]:
    """Append zeros to per-channel numbers, so that kernels can read whole vectors."""
    return np.concatenate([numbers, np.zeros(16, numbers.dtype)])


def lanes(weight: NDArray[Any]) -> NDArray[Any]:
    """Arrange weights so that output channels lie across the lanes of vectors.

    Args:
        weight: (O, taps), taps in the order of the input: uint64 words, uint8 nibbles, float32,
            int8 octets, int32 pairs, int64 words of panels, int16 shorts or uint32 quads.

    Returns:
        One dimension: wide blocks (taps, `wide`, lanes), then single vectors (taps, 1, lanes); for
        panels, see `panel_blocks`.
    """
    if weight.dtype == np.int64:
        return panel_blocks(weight)
    return _blocks(_vectors(weight, LANES[weight.dtype]))


def panel_blocks(weight: NDArray[np.int64]) -> NDArray[np.int64]:
    """Arrange weights in the order in which kernels/panel.py reads them.

    Input bits lie across the lanes.

    Args:
        weight: (O, words), packed signs in the order of kernel rows, kernel columns and channels.

    Returns:
        One dimension: (blocks of 8 channels, 2 halves, steps, 4 channels, 2 words), where zeros
        fill the last step and the last block.
    """
    channels, words = weight.shape
    steps = -(-words // 2)
    whole = np.zeros((padded_channels(channels, panel.CHANNELS), 2 * steps), np.int64)
    whole[:channels, :words] = weight
    blocks = whole.reshape(-1, 2, panel.HALF, steps, 2)
    return aligned.copy(blocks.transpose(0, 1, 3, 2, 4)).reshape(-1)


def depthwise_lanes(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Arrange depthwise weights so that channels lie across the lanes of vectors.

    Args:
        weight: (C, KH, KW).

    Returns:
        float32 (vectors, KH * KW, 16), padded with zeros.
    """
    vectors = _vectors(weight.reshape(len(weight), -1), 16)
    return aligned.copy(vectors.transpose(0, 2, 1))


def wide(dtype: np.dtype[Any]) -> int:
    """Return the number of vectors in a wide block, by the dtype of the weights."""
    return int(WIDE[from_dtype(dtype)])


def _vectors(weight: NDArray[Any], per_vector: int) -> NDArray[Any]:
    """Reshape (O, taps) to (vectors, lanes, taps), padded with zeros."""
    channels, taps = weight.shape
    padded = np.zeros((padded_channels(channels, per_vector), taps), weight.dtype)
    padded[:channels] = weight
    return padded.reshape(-1, per_vector, taps)


def _blocks(vectors: NDArray[Any]) -> NDArray[Any]:
    """Flatten (vectors, lanes, taps) in the order in which tiles read them."""
    _, per_vector, taps = vectors.shape
    block = wide(vectors.dtype)
    n_wide = len(vectors) // block * block
    blocks = vectors[:n_wide].reshape(-1, block, per_vector, taps).transpose(0, 3, 1, 2)
    single = vectors[n_wide:].transpose(0, 2, 1)
    return aligned.copy(np.concatenate([blocks.ravel(), single.ravel()]))


def border_cases(
    inputs: int, outputs: int, taps: int, stride: int, dilation: int, padding: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find which taps fall on zero padding, along one axis.

    Args:
        inputs: Length of the input.
        outputs: Length of the output.
        taps: Length of the kernel.
        stride: Distance of neighbouring outputs, in input elements; so are the next two.
        dilation: Distance of neighbouring taps.
        padding: Number of zeros before the input.

    Returns:
        int64 (outputs,), the border case of each output, and bool (cases, taps), true for the taps
        of a case that are outside.
    """
    first = np.arange(outputs)[:, None] * stride - padding
    position = first + np.arange(taps) * dilation
    outside = (position < 0) | (position >= inputs)
    cases, case_of = np.unique(outside, axis=0, return_inverse=True)
    return case_of.reshape(-1).astype(np.int64), cases


def padding_sums(
    signs: NDArray[np.int8], vertical: NDArray[np.bool_], horizontal: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Sum the weights that fall on zero padding, for each pair of border cases.

    The kernels read clear bits, +1, from the margin. Their sums are too large by this amount.

    Args:
        signs: (O, KH, KW, I), values in {-1, +1}.
        vertical: bool (cases, KH), true for kernel rows that are outside.
        horizontal: bool (cases, KW), true for kernel columns that are outside.

    Returns:
        int64 (vertical cases * horizontal cases, O).
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
    """Compute the largest count of differing signs at which the output is still +1.

    sum = base - 2 * count >= t  <=>  count <= floor((base - t) / 2).

    Args:
        sums_at_zero: (cases, O), base: the sum if no sign differs.
        thresholds: (O,), t.
        lanes: Channels per vector; 8 means 64-bit counts, more means 32-bit counts.

    Returns:
        int64 or int32 (cases, O padded to vectors). Padding channels have the largest limit, so
        that their bits stay clear.
    """
    cases, channels = sums_at_zero.shape
    dtype = np.int64 if lanes == 8 else np.int32
    table = np.full((cases, padded_channels(channels, lanes)), np.iinfo(dtype).max, dtype)
    table[:, :channels] = np.floor_divide(sums_at_zero - thresholds, 2)
    return table


def panel_limits(
    sums_at_zero: NDArray[np.int64], thresholds: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """Compute the smallest count of differing signs at which the output is -1.

    Args:
        sums_at_zero: (cases, O), the sum if no sign differs.
        thresholds: (O,).

    Returns:
        uint16 (cases, O padded to blocks). No count reaches 65535, the limit of padding channels,
        so that their bits stay clear.
    """
    cases, channels = sums_at_zero.shape
    never = np.iinfo(np.uint16).max
    table = np.full((cases, padded_channels(channels, panel.CHANNELS)), never, np.uint16)
    limits = np.floor_divide(sums_at_zero - thresholds, 2) + 1
    table[:, :channels] = np.clip(limits, 0, never)
    return table


def bases(sums: NDArray[np.int64], lanes: int) -> NDArray[np.int32]:
    """Build the table of a kernel that writes sums of signs.

    Args:
        sums: (cases, O), the sum if no sign differs.
        lanes: Channels per vector.

    Returns:
        int32 (cases, O padded to vectors).
    """
    cases, channels = sums.shape
    table = np.zeros((cases, padded_channels(channels, lanes)), np.int32)
    table[:, :channels] = sums
    return table


def scales(rows: NDArray[np.float32], lanes: int) -> NDArray[np.float32]:
    """Pad scale and bias, (2, O), to whole vectors."""
    padding = padded_channels(rows.shape[1], lanes) - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, padding)))


def thresholds_of(thresholds: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Build the table of a kernel from integers or reals to signs.

    Args:
        thresholds: (O,), of one group.
        dtype: Type of the sums, float32 or int32.

    Returns:
        (1, O padded to vectors). Padding channels have the lowest threshold, so that their bits
        stay clear.
    """
    channels = len(thresholds)
    lowest = -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
    table = np.full((1, padded_channels(channels, 16)), lowest, dtype)
    table[0, :channels] = thresholds
    return table
