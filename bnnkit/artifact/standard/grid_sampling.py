"""GridSample: a map read at computed places between its pixels."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.standard.resizing import cubic_pieces

Array = NDArray[Any]
Attributes = Mapping[str, Any]
Tap = tuple[Array, Array, Array]
"""Indices of pixels along one axis, whether they are inside of the map, and their weights."""


def _grid_sample(a: Attributes, x: Array, grid: Array) -> Array:
    """Sample x (N, C, *sizes) at places (N, *outputs, axes), which name the last axis first.

    Places are from -1 to 1: from the centre of the first pixel to that of the last if
    `align_corners` is set, else from edge to edge.
    """
    sizes, aligned = x.shape[2:], bool(a.get("align_corners", 0))
    mode: bytes = a.get("mode", b"linear").removeprefix(b"bi")
    padding = a.get("padding_mode", b"zeros")
    taps: list[list[Tap]] = []
    for axis, size in enumerate(sizes):
        place = grid[..., len(sizes) - 1 - axis].astype(np.float64)
        place = (place + 1) / 2 * (size - 1) if aligned else ((place + 1) * size - 1) / 2
        if mode != b"cubic":  # whose neighbours are moved into the map, not its place
            place = _moved(padding, aligned, place, size)
        neighbours = _NEIGHBOURS[mode](place)
        taps.append([(*_tap(padding, aligned, at, size), share) for at, share in neighbours])
    total = np.zeros((*grid.shape[:-1], x.shape[1]))
    images = np.arange(len(x)).reshape(-1, *(1,) * len(sizes))
    for chosen in product(*taps):
        pixels: Any = (images, slice(None), *(pixel for pixel, _, _ in chosen))
        weight = np.ones(())
        for _, inside, share in chosen:
            weight = weight * share * inside
        # A weight of 0 takes no part, even of a pixel that is infinite.
        found = x[pixels].astype(np.float64)
        total += np.where(weight[..., None] == 0, 0, found * weight[..., None])
    return np.moveaxis(total, -1, 1).astype(x.dtype)


def _moved(padding: bytes, aligned: bool, place: Array, size: int) -> Array:
    """Return a place that is outside of the map at its border, or reflected into it."""
    if padding == b"border":
        return np.clip(place, 0, size - 1)
    if padding != b"reflection":
        return place
    low, high = (0.0, size - 1.0) if aligned else (-0.5, size - 0.5)
    length = high - low
    if length == 0:
        return np.zeros_like(place)
    turns = np.mod(place - low, 2 * length)
    return np.clip(low + np.where(turns > length, 2 * length - turns, turns), 0, size - 1)


def _tap(padding: bytes, aligned: bool, pixel: Array, size: int) -> tuple[Array, Array]:
    """Return the pixel to read, as an index, and whether it is inside the map."""
    moved = np.rint(_moved(padding, aligned, pixel, size))
    inside = (moved >= 0) & (moved < size)
    return np.where(inside, moved, 0).astype(np.int64), inside


def _nearest(place: Array) -> list[tuple[Array, Array]]:
    return [(np.rint(place), np.ones(()))]


def _linear(place: Array) -> list[tuple[Array, Array]]:
    first = np.floor(place)
    part = place - first
    return [(first, 1 - part), (first + 1, part)]


def _cubic(place: Array) -> list[tuple[Array, Array]]:
    """Return the four neighbours with the weights of a cubic convolution with a = -3/4."""
    first = np.floor(place)
    part = place - first
    found = []
    for offset in range(-1, 3):
        near, far = cubic_pieces(np.abs(part - offset), -0.75)
        found.append((first + offset, near if offset in (0, 1) else far))
    return found


_NEIGHBOURS: dict[bytes, Callable[[Array], list[tuple[Array, Array]]]] = {
    b"nearest": _nearest,
    b"linear": _linear,
    b"cubic": _cubic,
}
GRID_SAMPLING: dict[str, Callable[..., Array]] = {"GridSample": _grid_sample}
"""The function by operator type."""
