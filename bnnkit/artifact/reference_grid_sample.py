"""GridSample of the reference executor: pixel by pixel, in float64.

ONNX's own reference departs from its definition far outside of the map.
"""

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]


class GridSample(OpRun):
    """A map (N, C, *sizes) read at places of -1 to 1, (N, *outputs, axes), the last axis first."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        grid: Array,
        align_corners: int | None = None,
        mode: str | None = None,
        padding_mode: str | None = None,
    ) -> tuple[Array]:
        way = (mode or "linear").removeprefix("bi")
        y = np.zeros((len(x), x.shape[1], *grid.shape[1:-1]))
        for place in product(*map(range, grid.shape[:-1])):
            places = grid[place][::-1].astype(np.float64)
            n, *at = place
            target: Any = (n, slice(None), *at)
            y[target] = _sample(x[n], places, way, padding_mode or "zeros", bool(align_corners))
        return (y.astype(x.dtype),)


def _sample(image: Array, places: Array, mode: str, padding: str, aligned: bool) -> Array:
    """Read one place of an image (C, *sizes)."""
    sizes = image.shape[1:]
    axes = []
    for place, size in zip(places, sizes, strict=True):
        real = (place + 1) / 2 * (size - 1) if aligned else ((place + 1) * size - 1) / 2
        if mode != "cubic":
            real = _inside(real, size, padding, aligned)
        axes.append(_weights(real, mode))
    total = np.zeros(len(image))
    for taps in product(*axes):
        pixel = [
            round(_inside(at, size, padding, aligned))
            for (at, _), size in zip(taps, sizes, strict=True)
        ]
        weight = float(np.prod([share for _, share in taps]))
        if weight and all(0 <= at < size for at, size in zip(pixel, sizes, strict=True)):
            source: Any = (slice(None), *pixel)
            total += weight * image[source]
    return total


def _inside(place: float, size: int, padding: str, aligned: bool) -> float:
    """Move a place into the map, as the padding says."""
    if padding == "border":
        return min(max(place, 0), size - 1)
    if padding == "reflection":
        low, high = (0, size - 1) if aligned else (-0.5, size - 0.5)
        if low == high:
            return 0
        turn = (place - low) % (2 * (high - low))
        return min(max(low + min(turn, 2 * (high - low) - turn), 0), size - 1)
    return place


def _weights(place: float, mode: str) -> list[tuple[float, float]]:
    """Return the pixels around a place along one axis, and their weights."""
    first = np.floor(place)
    part = place - first
    if mode == "nearest":
        return [(np.rint(place), 1)]
    if mode == "linear":
        return [(first, 1 - part), (first + 1, part)]
    return [(first + k, _cubic(abs(part - k))) for k in range(-1, 3)]


def _cubic(distance: float, a: float = -0.75) -> float:
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
