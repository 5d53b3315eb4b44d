"""A packed weight of the artifact, unpacked a few output channels at a time.

A whole weight takes eight times its size as int8, and a program seldom gives memory back.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.bits import check_packed_size
from bnnkit.runtime.values import Array

ROWS = 64
"""Output channels at a time; eight of them start at a byte, whatever their length."""


@dataclass(frozen=True, kw_only=True)
class PackedWeight:
    """Signs of a binary layer.

    Attributes:
        packed: uint8, as docs/artifact.md says.
        shape: (O, KH, KW, I / G).
        is_chw: Rows lie as (I, KH, KW) in the file: a dense layer behind a map that was flattened.
    """

    packed: Array
    shape: tuple[int, int, int, int]
    is_chw: bool = False

    def __post_init__(self) -> None:
        check_packed_size(self.packed, self.shape)

    def chunks(self) -> Iterator[NDArray[np.int8]]:
        """Signs of the next output channels: int8, (rows, KH, KW, I / G), values in {-1, +1}."""
        channels, height, width, inputs = self.shape
        taps = height * width * inputs
        for first in range(0, channels, ROWS):
            rows = min(ROWS, channels - first)
            content = self.packed[first * taps // 8 : -(-(first + rows) * taps // 8)]
            bits = np.unpackbits(content, count=rows * taps, bitorder="little")
            signs = (1 - 2 * bits.astype(np.int8)).astype(np.int8)
            if self.is_chw:
                yield signs.reshape(rows, inputs, height, width).transpose(0, 2, 3, 1)
            else:
                yield signs.reshape(rows, height, width, inputs)
