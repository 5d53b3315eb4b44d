"""Weights that several plans of one network have in common, stored once."""

import hashlib
from typing import Any

from bnnkit.runtime.memory.values import Array


class SharedWeights:
    """Weights in the layout of the kernels, by their content.

    A stochastic network has a deterministic plan and one plan per stored draw of its weights. They
    are lowered separately, but most of their weights are equal.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Array] = {}

    def shared(self, weights: Array) -> Array:
        """Return equal weights of an earlier plan, or else the given ones, which are kept.

        Args:
            weights: Contiguous, in the layout of `weights.lanes`; they must not change afterwards.
        """
        key = (weights.dtype, weights.shape, hashlib.sha256(weights.data).digest())
        return self._known.setdefault(key, weights)
