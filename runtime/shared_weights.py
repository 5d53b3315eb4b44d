"""Weights that several plans of one network have in common, held in memory once."""

import hashlib
from typing import Any

from bnnkit.runtime.values import Array


class SharedWeights:
    """Weights as kernels read them, by their content.

    The deterministic plan of a stochastic network and the plan of each stored draw of its weights
    are lowered apart; most of their weights are equal.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Array] = {}

    def shared(self, weights: Array) -> Array:
        """The weights themselves, or equal ones that an earlier plan holds.

        Args:
            weights: As `weights.lanes` gives them: contiguous, and not changed from now on.
        """
        key = (weights.dtype, weights.shape, hashlib.sha256(weights.data).digest())
        return self._known.setdefault(key, weights)
