"""A packed weight of the artifact, unpacked a few output channels at a time.

A whole weight unpacked to int8 would take eight times its size at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import check_packed_size
from bnnkit.runtime.memory.values import Array

ROWS = 64
"""Output channels per chunk. A multiple of eight, so that each chunk starts at a byte."""


@dataclass(frozen=True, kw_only=True)
class PackedWeight:
    """Packed signs of the weights of a binary layer.

    Attributes:
        packed: uint8, packed as in docs/artifact.md.
        shape: (O, KH, KW, I / G).
        is_chw: Whether rows are stored as (I, KH, KW): a dense layer behind a flattened map.

    Raises:
        ArtifactError: If the number of bytes does not match the shape.
    """

    packed: Array
    shape: tuple[int, int, int, int]
    is_chw: bool = False

    def __post_init__(self) -> None:
        check_packed_size(self.packed, self.shape)

    def chunks(self) -> Iterator[NDArray[np.int8]]:
        """Yield the signs of up to ROWS output channels, int8 (rows, KH, KW, I / G)."""
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
