"""Pooling of real-valued maps (N, C, ...)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.standard.reductions import mean_of
from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _global_average_pool(a: Attributes, x: Array) -> Array:
    return mean_of(x, tuple(range(2, x.ndim)))


def _global_max_pool(a: Attributes, x: Array) -> Array:
    return np.asarray(np.max(x, axis=tuple(range(2, x.ndim)), keepdims=True))


def pool_output(
    size: int, window: int, stride: int, pads: tuple[int, int], dilation: int, ceil: bool
) -> int:
    """Compute the output length of a pooling along one axis, by the ONNX specification."""
    span = size + sum(pads) - (dilation * (window - 1) + 1)
    if not ceil:
        return span // stride + 1
    length = -(-span // stride) + 1
    # A window that would start in the padding after the input is left out.
    return length - 1 if (length - 1) * stride >= size + pads[0] else length


def explicit_pads(a: Attributes) -> tuple[int, int, int, int]:
    """Return the padding at the top, left, bottom and right.

    Raises:
        UnsupportedError: If the padding is determined by auto_pad.
    """
    top, left, bottom, right = window_pads(a, 2)
    return top, left, bottom, right


def window_pads(a: Attributes, axes: int) -> Sequence[int]:
    """Return the padding before each of some axes, then that behind each.

    Raises:
        UnsupportedError: If the padding is determined by auto_pad.
    """
    rule = a.get("auto_pad", b"NOTSET")
    none = [0] * 2 * axes
    if rule == b"VALID":
        return none
    if rule != b"NOTSET":
        name = rule.decode(errors="replace")
        raise UnsupportedError(f"expected explicit pads, got auto_pad {name}: export with pads")
    pads: Sequence[int] = a.get("pads", none)
    return pads


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """The windows along one axis."""

    window: int
    stride: int
    dilation: int
    before: int
    after: int
    outputs: int

    def reach(self, size: int) -> int:
        """Return how far the last window extends beyond an axis of this size, padding included."""
        last = (self.outputs - 1) * self.stride + self.dilation * (self.window - 1) + 1
        return max(0, last - size)


def _axes(a: Attributes, sizes: Sequence[int]) -> list[_Axis]:
    count = len(sizes)
    windows = a["kernel_shape"]
    if len(windows) != count:
        raise UnsupportedError(f"expected a pooling over {count} axes, got {len(windows)}")
    strides, dilations = a.get("strides", [1] * count), a.get("dilations", [1] * count)
    pads = window_pads(a, count)
    ceil = bool(a.get("ceil_mode", 0))
    found = []
    for i, size in enumerate(sizes):
        around = pads[i], pads[count + i]
        outputs = pool_output(size, windows[i], strides[i], around, dilations[i], ceil)
        found.append(
            _Axis(
                window=windows[i],
                stride=strides[i],
                dilation=dilations[i],
                before=around[0],
                after=around[1],
                outputs=outputs,
            )
        )
    return found


def _taps(padded: Array, axes: Sequence[_Axis], fill: float) -> list[Array]:
    """Return an array over all outputs for each pixel of the window, in row-major order.

    Args:
        padded: (N, C, ...), with its padding.
        axes: The windows along each axis after the channels.
        fill: The value of pixels beyond the padding, which `ceil_mode` may reach.
    """
    beyond = [(0, axis.reach(size)) for axis, size in zip(axes, padded.shape[2:], strict=True)]
    padded = np.pad(padded, [(0, 0), (0, 0), *beyond], constant_values=fill)
    return [_tap(padded, axes, place) for place in product(*(range(axis.window) for axis in axes))]


def _tap(padded: Array, axes: Sequence[_Axis], place: tuple[int, ...]) -> Array:
    """Return the pixel at one place of every window."""
    whole = (slice(None), slice(None))
    steps = [
        slice(k * axis.dilation, None, axis.stride) for k, axis in zip(place, axes, strict=True)
    ]
    window, outputs = (*whole, *steps), (*whole, *(slice(axis.outputs) for axis in axes))
    return padded[window][outputs]


def _padded(x: Array, axes: Sequence[_Axis], fill: float) -> Array:
    widths = [(0, 0), (0, 0), *((axis.before, axis.after) for axis in axes)]
    return np.pad(x, widths, constant_values=fill)


def _max_pool(a: Attributes, x: Array) -> Array:
    low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    axes = _axes(a, x.shape[2:])
    return reduce(np.maximum, _taps(_padded(x, axes, low), axes, low))


def _max_pool_with_places(a: Attributes, x: Array) -> tuple[Array, Array]:
    """Return the maxima and their places, counted through all of x in its order."""
    low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    axes = _axes(a, x.shape[2:])
    if a.get("storage_order", 0):
        raise UnsupportedError("MaxPool with the attribute storage_order is not supported")
    places = np.arange(x.size).reshape(x.shape)
    best: Array | None = None
    for tap, place in zip(
        _taps(_padded(x, axes, low), axes, low), _taps(_padded(places, axes, -1), axes, -1),
        strict=True,
    ):  # fmt: skip
        if best is None:
            best, chosen = tap.copy(), place.copy()
            continue
        # A place outside of x, -1, is never chosen; NaN is larger than any number.
        is_larger = (tap > best) | ((tap != tap) & (best == best)) | (chosen < 0)
        is_larger &= place >= 0
        np.copyto(best, tap, where=is_larger)
        np.copyto(chosen, place, where=is_larger)
    assert best is not None  # a window has a pixel
    return best, chosen


def _average_pool(a: Attributes, x: Array) -> Array:
    axes = _axes(a, x.shape[2:])
    pixels = _taps(_padded(x, axes, 0), axes, 0)
    return sum(pixels[1:], start=pixels[0]) / pixels_of_windows(a, x.shape[2:], x.dtype)


def pixels_of_windows(a: Attributes, sizes: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """Count the pixels of each window: the divisors of an AveragePool.

    Args:
        a: The attributes of the AveragePool.
        sizes: The sizes of a map, (H, W) or of any number of axes.
        dtype: The type of the counts.

    Returns:
        (1, 1, OH, OW), or as many axes as the map has.
    """
    axes = _axes(a, sizes)
    counts_padding = bool(a.get("count_include_pad", 0))
    inside = _padded(np.ones((1, 1, *sizes), dtype), axes, int(counts_padding))
    counted = _taps(inside, axes, 0)  # pixels beyond the padding never count
    return sum(counted[1:], start=counted[0])


POOLING: dict[str, Callable[..., Array]] = {
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
}
"""The functions by operator type."""
POOLING_WITH_PLACES: dict[str, Callable[..., tuple[Array, ...]]] = {
    "MaxPool": _max_pool_with_places
}
"""The functions that give the places of what they choose too."""
