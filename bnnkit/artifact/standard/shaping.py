"""Operators that move or count elements."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.standard.reductions import axes_of
from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _flatten(a: Attributes, x: Array) -> Array:
    axis = a.get("axis", 1)
    axis += x.ndim if axis < 0 else 0
    return x.reshape(int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:])))


def _reshape(a: Attributes, x: Array, shape: Array) -> Array:
    keeps_zeros = a.get("allowzero", 0)  # or else a 0 copies the length of x
    sizes = [
        x.shape[i] if size == 0 and not keeps_zeros else int(size) for i, size in enumerate(shape)
    ]
    return x.reshape(sizes)


def _squeeze(a: Attributes, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, axes_of(a, axes))


def _unsqueeze(a: Attributes, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, axes_of(a, axes) or ())


def _transpose(a: Attributes, x: Array) -> Array:
    return np.transpose(x, a.get("perm"))


def _concat(a: Attributes, *xs: Array) -> Array:
    return np.concatenate(xs, axis=a["axis"])


def _slice(
    a: Attributes,
    x: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    cut = [slice(None)] * x.ndim
    along = range(len(starts)) if axes is None else axes.tolist()
    for i, axis in enumerate(along):
        step = 1 if steps is None else int(steps[i])
        cut[axis] = _cut(x.shape[axis], int(starts[i]), int(ends[i]), step)
    return x[tuple(cut)]


def _cut(size: int, start: int, end: int, step: int) -> slice:
    """Return the part of an axis; ends beyond it are moved to its nearest element, as ONNX says.

    Python's slices differ from that where a negative step starts before the first element.
    """
    start += size if start < 0 else 0
    end += size if end < 0 else 0
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return slice(start, None if end < 0 else end, step) if size else slice(0)


def _pad(
    a: Attributes, x: Array, pads: Array, value: Array | None = None, axes: Array | None = None
) -> Array:
    widths = [(0, 0)] * x.ndim
    half = len(pads) // 2
    for i, axis in enumerate(range(half) if axes is None else axes.tolist()):
        widths[axis] = (int(pads[i]), int(pads[i + half]))
    # A negative width crops.
    x = x[tuple(slice(max(0, -before), min(0, after) or None) for before, after in widths)]
    grown = [(max(0, before), max(0, after)) for before, after in widths]
    mode = a.get("mode", b"constant")
    if mode == b"constant":
        fill = x.dtype.type(0 if value is None else value.reshape(()))
        return np.pad(x, grown, constant_values=fill)
    if mode not in (b"reflect", b"edge", b"wrap"):  # which have the same names in NumPy
        raise _unknown_mode("Pad", mode, "constant, reflect, edge or wrap")
    return np.pad(x, grown, mode=mode.decode())


def _gather(a: Attributes, x: Array, places: Array) -> Array:
    return np.asarray(np.take(x, places, axis=a.get("axis", 0)))


def _expand(a: Attributes, x: Array, shape: Array) -> Array:
    sizes = [int(size) for size in shape]
    return np.array(np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(sizes))))


def _depth_to_space(a: Attributes, x: Array) -> Array:
    n, channels, height, width = x.shape
    block, mode = a["blocksize"], a.get("mode", b"DCR")
    depth = channels // block**2
    if mode == b"DCR":
        parts = x.reshape(n, block, block, depth, height, width).transpose(0, 3, 4, 1, 5, 2)
    elif mode == b"CRD":
        parts = x.reshape(n, depth, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
    else:
        raise _unknown_mode("DepthToSpace", mode, "DCR or CRD")
    return parts.reshape(n, depth, height * block, width * block)


def _space_to_depth(a: Attributes, x: Array) -> Array:
    n, channels, height, width = x.shape
    block, mode = a["blocksize"], a.get("mode", b"DCR")
    high, wide = height // block, width // block
    parts = x.reshape(n, channels, high, block, wide, block)
    if mode == b"DCR":
        parts = parts.transpose(0, 3, 5, 1, 2, 4)
    elif mode == b"CRD":
        parts = parts.transpose(0, 1, 3, 5, 2, 4)
    else:
        raise _unknown_mode("SpaceToDepth", mode, "DCR or CRD")
    return parts.reshape(n, channels * block**2, high, wide)


def _unknown_mode(kind: str, mode: bytes, known: str) -> UnsupportedError:
    given = mode.decode(errors="replace")
    return UnsupportedError(f"expected the attribute mode of {kind} to be {known}, got {given}")


SHAPING: dict[str, Callable[..., Array]] = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Slice": _slice,
    "Pad": _pad,
    "Shape": lambda a, x: np.array(x.shape[a.get("start", 0) : a.get("end")], np.int64),
    "Size": lambda a, x: np.array(x.size, np.int64),
    "Gather": _gather,
    "Expand": _expand,
    "Tile": lambda a, x, repeats: np.tile(x, [int(n) for n in repeats]),
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
