"""Einsum: products of operands, summed over the axes that the result lacks."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.operators.subscripts import subscripts
from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _einsum(a: Attributes, *xs: Array) -> Array:
    terms, result = subscripts(a, len(xs))
    if any(x.dtype.kind not in "fiub" for x in xs):
        raise UnsupportedError(f"expected Einsum of numbers that NumPy has, got {xs[0].dtype}")
    return np.asarray(np.einsum(f"{','.join(terms)}->{result}", *xs, optimize=len(xs) > 1))


EINSUM: dict[str, Callable[..., Array]] = {"Einsum": _einsum}
"""The function by operator type."""
