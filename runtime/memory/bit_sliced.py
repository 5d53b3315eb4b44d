"""Layout of weights and limits of the bit-sliced kernel (kernels/bit_sliced.py)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import pack_signs
from bnnkit.runtime.kernels.bit_sliced import MANY, NINE, PLANES, VECTOR_WORDS
from bnnkit.runtime.memory import aligned

Words = NDArray[np.uint64]


def planes_for(taps: int) -> int:
    """Return the number of planes of the kernel's counts of so many taps."""
    return PLANES[NINE if taps == NINE else MANY]


def byte_table(outputs: int) -> Words:
    """Tabulate what eight groups with one input spread to their outputs.

    Args:
        outputs: Outputs of a group, at most 8.

    Returns:
        (256,), by the byte of the inputs.
    """
    ones = (1 << outputs) - 1
    spread = [
        sum(ones << outputs * bit for bit in range(8) if byte >> bit & 1) for byte in range(256)
    ]
    return np.array(spread, np.uint64)


def continued(words: Words) -> Words:
    """Continue the last axis periodically, so that a vector can start at any of its words.

    Args:
        words: (..., words).

    Returns:
        (..., words + VECTOR_WORDS - 1), aligned.
    """
    count = words.shape[-1]
    return aligned.copy(words[..., np.arange(count + VECTOR_WORDS - 1) % count])


def tap_words(signs: NDArray[Any]) -> Words:
    """Pack weights, with output channels along the bits.

    Args:
        signs: (O, taps), values in {-1, +1}.

    Returns:
        (taps, words of O, continued).
    """
    return continued(pack_signs(signs.T))


def limit_planes(
    sums_at_zero: NDArray[np.int64], thresholds: NDArray[np.int64], taps: int
) -> Words:
    """Compute the smallest count of differing signs at which the output is -1, by planes of bits.

    Args:
        sums_at_zero: (cases, O), the sum if no sign differs.
        thresholds: (O,).
        taps: Number of taps. No count reaches taps + 1, the limit of padding channels.

    Returns:
        (cases, planes, words of O, continued).
    """
    limits = np.clip(np.floor_divide(sums_at_zero - thresholds, 2) + 1, 0, taps + 1)
    padding = -limits.shape[1] % 64
    limits = np.pad(limits, ((0, 0), (0, padding)), constant_values=taps + 1)
    bits = limits[:, None, :] >> np.arange(planes_for(taps))[:, None] & 1
    return continued(pack_signs(-bits))
