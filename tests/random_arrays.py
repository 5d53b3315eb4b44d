"""Random arrays, shapes and options for one operator."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rng = np.random.Generator
Drawn = tuple[list[Array], dict[str, Any]]
"""The inputs of an operator, of which the first is computed, and its attributes."""

BATCH = 3


def reals(rng: Rng, *shape: int) -> Array:
    """Ordinary numbers, or small integers, among which there are ties, or large ones."""
    scale = float(rng.choice([1, 1, 1, 30, 1e-3]))
    x = rng.standard_normal(shape) * scale
    return (np.rint(x) if rng.random() < 0.3 else x).astype(np.float32)


def integers(rng: Rng, *shape: int) -> Array:
    dtype = np.dtype(str(rng.choice(["int32", "int64"])))
    return rng.integers(-40, 40, shape).astype(dtype)


def shape_of(rng: Rng, least: int = 1, most: int = 4) -> list[int]:
    return [BATCH, *(int(n) for n in rng.integers(1, 7, rng.integers(least, most)))]


def map_of(rng: Rng, axes: int = 2) -> list[int]:
    return [BATCH, int(rng.integers(1, 9)), *(int(n) for n in rng.integers(4, 10, axes))]


def maybe(rng: Rng, **options: Any) -> dict[str, Any]:
    """Return some of the options."""
    return {name: value for name, value in options.items() if rng.random() < 0.6}


def ints(rng: Rng, low: int, high: int, count: int) -> list[int]:
    return [int(n) for n in rng.integers(low, high, count)]


def flag(rng: Rng) -> int:
    return int(rng.integers(2))


def window(rng: Rng, axes: int) -> dict[str, Any]:
    """Return windows that are smaller than a map, with pads smaller than the windows."""
    kernel = ints(rng, 1, 4, axes)
    pads = [int(rng.integers(0, kernel[i % axes])) for i in range(2 * axes)]
    options = {"strides": ints(rng, 1, 4, axes), "pads": pads}
    return {"kernel_shape": kernel, **maybe(rng, **options)}
