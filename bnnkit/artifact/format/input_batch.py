"""A batch of all inputs of a network that has several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError, UsageError

Array = NDArray[Any]


@dataclass(frozen=True)
class InputBatch:
    """N rows of all inputs of a network. It has the length and the slices of an array.

    Attributes:
        arrays: The inputs (N, ...) by name, in the order of the network's inputs.
    """

    arrays: Mapping[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> "InputBatch":
        return InputBatch({name: array[rows] for name, array in self.arrays.items()})


Batch = Array | InputBatch
"""The inputs of a network: an array (N, ...) if it has one input, else an `InputBatch`."""


def feeds(names: Sequence[str], batch: Batch) -> dict[str, Array]:
    """Return the inputs of a network by name.

    Args:
        names: The names of the network's inputs.
        batch: Its inputs.

    Raises:
        UsageError: If the network has other inputs.
    """
    if isinstance(batch, InputBatch) and batch.arrays.keys() == set(names):
        return dict(batch.arrays)
    if isinstance(batch, InputBatch) or len(names) > 1:
        found = ", ".join(batch.arrays) if isinstance(batch, InputBatch) else "one array"
        raise UsageError(f"expected the inputs {', '.join(names)}, got {found}")
    return {names[0]: batch}


def only_input(names: Sequence[str], what: str) -> str:
    """Return the name of the only input of a network.

    Args:
        names: The names of its inputs.
        what: What takes one input only, for the message.

    Raises:
        UnsupportedError: If it has several.
    """
    if len(names) != 1:
        raise UnsupportedError(
            f"{what} takes networks with one input, this one has {len(names)}"
            f" ({', '.join(names)}): build the network with one input that holds them all, and"
            " split it inside, or use bnnkit's runtime or ONNX Runtime"
        )
    return names[0]
