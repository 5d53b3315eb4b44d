"""The examples of one part of a data set, for training or for testing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
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

    def batches(
        self, size: int, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[Array, Array]]:
        """Yield the examples from `start` to `stop` in order, `size` at a time."""
        end = len(self.x) if stop is None else min(stop, len(self.x))
        for first in range(start, end, size):
            last = min(first + size, end)
            yield self.x[first:last], self.y[first:last]

    def at_once(self, size: int) -> int:
        """Return the number of examples in a batch, `size`."""
        return size

    def some(self, most: int, seed: int) -> tuple[Array, Array]:
        """Return at most `most` examples, chosen at random."""
        order = np.random.default_rng(seed).permutation(len(self.x))[:most]
        return self.x[order], self.y[order]

    def part(self, positions: Array) -> "ArrayExamples":
        """Return the examples at these positions, int64 (M,)."""
        return ArrayExamples(self.x[positions], self.y[positions])
