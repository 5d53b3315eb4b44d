"""The examples of one part of a data set, for training or for testing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class ArrayExamples:
    """N examples in memory.

    Attributes:
        x: Inputs, (N, ...).
        y: Targets, (N,) or (N, K).
    """

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        """Yield the examples in order, `size` at a time; the last batch may be smaller."""
        for start in range(0, len(self.x), size):
            yield self.x[start : start + size], self.y[start : start + size]
