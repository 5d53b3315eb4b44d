"""What a binary layer does with its sums: compare them with thresholds, or scale them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Signs: +1 if sum >= threshold.

    Attributes:
        values: int64, (O,).
    """

    values: NDArray[np.int64]

    def on_popcounts(self, n_taps: int) -> NDArray[np.int32]:
        """LCE's thresholds: the sign is -1 if the number of differing bits is above them.

        sum = K - 2 * popcount, so sum >= t  <=>  popcount <= floor((K - t) / 2).
        """
        return ((n_taps - self.values) // 2).astype(np.int32)

    def part(self, channels: slice) -> Self:
        """The epilogue of some of the output channels."""
        return type(self)(self.values[channels])


@dataclass(frozen=True, eq=False)
class Scaled:
    """Numbers: scale * sum + bias.

    Attributes:
        scale: float32, (O,).
        bias: float32, (O,).
    """

    scale: NDArray[np.float32]
    bias: NDArray[np.float32]

    def part(self, channels: slice) -> Self:
        """The epilogue of some of the output channels."""
        return type(self)(self.scale[channels], self.bias[channels])


Epilogue = Thresholds | Scaled


def sums(outputs: int) -> Scaled:
    """The epilogue that leaves sums as they are."""
    return Scaled(np.ones(outputs, np.float32), np.zeros(outputs, np.float32))


def minus(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """The negated numbers, with 0.0 in place of -0.0."""
    return (0 - numbers).astype(np.float32)


def as_numbers(epilogue: Epilogue) -> Scaled:
    """The epilogue with thresholds as a bias, so that numbers have the signs of the thresholds."""
    if isinstance(epilogue, Scaled):
        return epilogue
    return replace(sums(len(epilogue.values)), bias=minus(epilogue.values))
