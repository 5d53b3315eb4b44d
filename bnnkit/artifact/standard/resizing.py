"""Resize: samples of a map between its pixels, one axis after the other."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]
Taps = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Places on the old axis and their weights, both (new length, taps)."""

PLACES: dict[str, Callable[[Array, float, int, float], Array]] = {
    "half_pixel": lambda i, scale, _, __: (i + 0.5) / scale - 0.5,
    "asymmetric": lambda i, scale, _, __: i / scale,
    "align_corners": lambda i, _, old, new: i * ((old - 1) / (new - 1) if new > 1 else 0.0),
    "pytorch_half_pixel": lambda i, scale, _, new: (i + 0.5) / scale - 0.5 if new > 1 else 0.0 * i,
    "half_pixel_symmetric": lambda i, scale, old, new: (
        old / 2 * (1 - int(new) / new) + (i + 0.5) / scale - 0.5
    ),
}
"""From places on the new axis, the scale, and both lengths to places on the old axis.

The new length is a real number here: the old one times the scale.
"""
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda place: np.ceil(place - 0.5),
    "round_prefer_ceil": lambda place: np.floor(place + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _resize(
    a: Attributes,
    x: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
) -> Array:
    axes = [axis % x.ndim for axis in a.get("axes", range(x.ndim))]
    _choice(a, "keep_aspect_ratio_policy", "stretch", ["stretch"])
    for position, axis in enumerate(axes):
        old = x.shape[axis]
        if sizes is not None and sizes.size:
            new = int(sizes[position])
            scale, length = new / old, float(new)
        elif scales is not None and scales.size:
            scale = float(scales[position])
            length = old * scale
            new = int(length)
        else:
            raise UnsupportedError("expected Resize to have scales or sizes")
        if new != old or scale != 1:
            x = _along(x, axis, _taps(a, old, new, scale, length))
    return x


def _choice(a: Attributes, name: str, default: str, known: Any) -> str:
    """Return an attribute that is a word.

    Raises:
        UnsupportedError: If the word is unknown.
    """
    word: str = a.get(name, default.encode()).decode()
    if word not in known:
        raise UnsupportedError(
            f"expected the attribute {name} of Resize to be one of {', '.join(known)}, got {word}"
        )
    return word


def _taps(a: Attributes, old: int, new: int, scale: float, length: float) -> Taps:
    place = PLACES[_choice(a, "coordinate_transformation_mode", "half_pixel", PLACES)]
    places = place(np.arange(new, dtype=np.float64), scale, old, length)
    mode = _choice(a, "mode", "nearest", ["nearest", "linear", "cubic"])
    if mode == "nearest":
        rounding = ROUNDINGS[_choice(a, "nearest_mode", "round_prefer_floor", ROUNDINGS)]
        nearest = rounding(places)[:, None].astype(np.int64)
        return np.clip(nearest, 0, old - 1), np.ones((new, 1))
    if a.get("antialias", 0):
        return _wide_taps(a, mode, places, old, min(1.0, scale))
    first = np.floor(places)
    part = (places - first)[:, None]
    if mode == "linear":
        offsets, weights = np.arange(2), np.concatenate([1 - part, part], axis=1)
    else:
        offsets, weights = np.arange(-1, 3), _cubic(part, a.get("cubic_coeff_a", -0.75))
    found = first[:, None].astype(np.int64) + offsets
    if a.get("exclude_outside", 0):
        weights = np.where((found >= 0) & (found < old), weights, 0)
        weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(found, 0, old - 1), weights


def _wide_taps(a: Attributes, mode: str, places: Array, old: int, scale: float) -> Taps:
    """Return taps that cover all pixels of the old axis that a pixel of a smaller one stands for.

    The weights add up to 1.
    """
    reach = int(np.ceil((1 if mode == "linear" else 2) / scale)) + 1
    found = np.floor(places)[:, None].astype(np.int64) + np.arange(-reach, reach + 1)
    distance = np.abs(found - places[:, None]) * scale
    if mode == "linear":
        weights = np.maximum(1 - distance, 0)
    else:
        near, far = cubic_pieces(distance, a.get("cubic_coeff_a", -0.75))
        weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    if a.get("exclude_outside", 0):
        weights = np.where((found >= 0) & (found < old), weights, 0)
    return np.clip(found, 0, old - 1), weights / weights.sum(axis=1, keepdims=True)


def cubic_pieces(distance: Array, a: float) -> tuple[Array, Array]:
    """Return the weights of a pixel at a distance of at most 1, and at one of 1 to 2."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return near, far


def _cubic(part: Array, a: float) -> Array:
    """Return the weights of four neighbours, (new, 4), for a place after the second of them."""
    inner, _ = cubic_pieces(np.abs(part - [0, 1]), a)
    _, outer = cubic_pieces(np.abs(part - [-1, 2]), a)
    return np.stack([outer[:, 0], inner[:, 0], inner[:, 1], outer[:, 1]], axis=1)


def _along(x: Array, axis: int, taps: Taps) -> Array:
    """Interpolate along one axis, with one product for each tap."""
    places, weights = taps
    if places.shape[1] == 1:
        return np.take(x, places[:, 0], axis=axis)
    column = [-1 if i == axis else 1 for i in range(x.ndim)]
    if x.dtype.kind != "f":
        raise UnsupportedError(
            f"expected Resize with the attribute mode nearest of {x.dtype} numbers"
        )
    wide = x.astype(np.float64)
    total = np.zeros(())
    for k in range(places.shape[1]):
        total = total + np.take(wide, places[:, k], axis=axis) * weights[:, k].reshape(column)
    return np.asarray(total, x.dtype)


RESIZING: dict[str, Callable[..., Array]] = {"Resize": _resize}
"""The function by operator type."""
