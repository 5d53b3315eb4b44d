"""Lowers Resize of maps."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import layout
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.options import GatherOptions, ResizeBilinearOptions
from bnnkit.tflite.schema import Builtin

Floats = NDArray[np.float64]

_ROUNDINGS: Final[dict[bytes, Callable[[Floats], Floats]]] = {
    b"floor": np.floor,
    b"ceil": np.ceil,
    b"round_prefer_floor": lambda x: np.ceil(x - 0.5),
    b"round_prefer_ceil": lambda x: np.floor(x + 0.5),
}
_BILINEAR: Final = {
    b"asymmetric": (False, False),
    b"align_corners": (True, False),
    b"half_pixel": (False, True),
    b"pytorch_half_pixel": (False, True),
}
"""align_corners and half_pixel_centers of RESIZE_BILINEAR for each coordinate transformation."""


def resize(builder: TfliteBuilder, node: Node) -> None:
    """Lower to a GATHER of rows and one of columns (nearest), or to RESIZE_BILINEAR (linear)."""
    x = builder.value(node)
    if x.kind != "real" or len(x.shape) != 3:
        raise UnsupportedError(f"expected a map of real numbers, got {x.kind} (N, *{x.shape})")
    scales, sizes = _target(builder, node, x)
    _check(node, x, scales, sizes)
    mode = node.attributes.get("mode", b"nearest")
    if mode == b"nearest":
        tensor = x.tensor
        for axis in range(2):
            tensor = _gather(builder, node, tensor, axis, sizes[axis], scales[axis])
    elif mode == b"linear" and not node.attributes.get("antialias", 0):
        tensor = _bilinear(builder, node, x, sizes)
    else:
        raise UnsupportedError(
            f"expected nearest or linear without antialias, got {mode.decode()}"
        )
    shape = (x.shape[0], sizes[0], sizes[1])
    builder.give(node.output, layout.real(x, tensor, shape=shape, map=shape))


def _target(builder: TfliteBuilder, node: Node, x: TfliteValue) -> tuple[list[float], list[int]]:
    """Scales and sizes of height and width.

    Raises:
        UnsupportedError: Other axes change too, or the aspect ratio is to be kept.
    """
    given = [bool(name) for name in (*node.inputs, "", "", "")]
    axes = [int(axis) % 4 for axis in node.attributes.get("axes", range(4))]
    policy = node.attributes.get("keep_aspect_ratio_policy", b"stretch")
    whole = (builder.batch, *x.shape)
    factors = dict.fromkeys(range(4), 1.0)
    if given[3]:
        wanted = _for_each(axes, builder.constant_of(node, 3).tolist())
        sizes = dict(enumerate(whole)) | dict(zip(axes, map(int, wanted), strict=True))
        # torch may write the batch of its trace.
        factors |= {axis: sizes[axis] / whole[axis] for axis in axes if axis > 0}
    else:
        factors |= dict(
            zip(axes, _for_each(axes, builder.constant_of(node, 2).tolist()), strict=True)
        )
        sizes = {axis: _size(whole[axis], factors[axis]) for axis in range(4)}
    if factors[0] != 1 or factors[1] != 1 or policy != b"stretch":
        raise UnsupportedError(
            f"expected only height and width to change, got the factors {factors} and the policy"
            f" {policy.decode()}"
        )
    return [factors[2], factors[3]], [sizes[2], sizes[3]]


def _for_each(axes: list[int], numbers: list[float]) -> list[float]:
    """Return the scales or sizes of some axes.

    Raises:
        UnsupportedError: Their number is another.
    """
    if len(numbers) != len(axes):
        raise UnsupportedError(
            f"expected scales or sizes for its {len(axes)} axes, got {len(numbers)}"
        )
    return numbers


def _size(before: int, factor: float) -> int:
    """The size of a scaled axis.

    Raises:
        UnsupportedError: Engines that multiply in float32 and in float64 get different sizes.
    """
    size = int(before * factor)
    if size != int(np.float32(before) * np.float32(factor)):
        raise UnsupportedError(f"engines do not agree on the size of {before} pixels x {factor}")
    return size


def _gather(
    builder: TfliteBuilder, node: Node, tensor: int, axis: int, size: int, scale: float
) -> int:
    """Emit a GATHER of the nearest rows, or columns.

    Raises:
        UnsupportedError: Computing places in float32, as ONNX Runtime does, gives others.
    """
    rounding = node.attributes.get("nearest_mode", b"round_prefer_floor")
    stored = list(builder.shape(tensor))
    before = stored[1 + axis]
    found = [
        _ROUNDINGS[rounding](_coordinates(node, before, size, scale, dtype).astype(np.float64))
        for dtype in (np.float32, np.float64)
    ]
    if (found[0] != found[1]).any():
        raise UnsupportedError(f"engines do not agree on the pixels of {before} x {scale}")
    index = np.clip(found[0], 0, before - 1).astype(np.int32)
    if index.tolist() == list(range(before)):
        return tensor
    stored[1 + axis] = size
    inputs = [tensor, builder.constant(index)]
    return builder.emit(Builtin.GATHER, inputs, stored, options=GatherOptions(axis=1 + axis))


def _coordinates(
    node: Node, before: int, size: int, scale: float, dtype: type[np.floating[Any]]
) -> NDArray[Any]:
    """Coordinates of the outputs in the inputs of an axis, each step rounded to a type."""
    places: NDArray[Any] = np.arange(size, dtype=dtype)
    mode, half = _mode(node), dtype(0.5)
    if mode == b"asymmetric":
        places = places / dtype(scale)
    elif mode == b"align_corners":
        places = places * dtype(before - 1) / dtype(max(size - 1, 1))
    else:
        places = (places + half) / dtype(scale) - half
    return places


def _check(node: Node, x: TfliteValue, scales: list[float], sizes: list[int]) -> None:
    """Check that engines, and ONNX and TFLite, agree on the coordinates.

    TFLite computes the scale from the sizes, which ONNX may have rounded.

    Raises:
        UnsupportedError: They do not agree.
    """
    mode, linear = _mode(node), node.attributes.get("mode") == b"linear"
    for before, size, scale in zip(x.shape[1:], sizes, scales, strict=True):
        is_whole = bool(np.isclose(before * scale, size, rtol=1e-6, atol=0))
        if not is_whole and (linear or mode == b"align_corners"):
            raise UnsupportedError(
                f"expected a scale that gives {before} pixels a whole size, got {scale}"
            )
        if mode == b"pytorch_half_pixel" and size == 1 < before:
            raise UnsupportedError(
                "expected more than one pixel for pytorch_half_pixel, got a result of 1"
            )


def _bilinear(builder: TfliteBuilder, node: Node, x: TfliteValue, sizes: list[int]) -> int:
    align_corners, half_pixel_centers = _BILINEAR[_mode(node)]
    options = ResizeBilinearOptions(
        align_corners=align_corners, half_pixel_centers=half_pixel_centers
    )
    shape = (builder.batch, *sizes, x.shape[0])
    inputs = [x.tensor, builder.integers(*sizes)]
    return builder.emit(Builtin.RESIZE_BILINEAR, inputs, shape, options=options)


def _mode(node: Node) -> bytes:
    mode: bytes = node.attributes.get("coordinate_transformation_mode", b"half_pixel")
    if mode not in _BILINEAR:
        known = b", ".join(_BILINEAR).decode()
        raise UnsupportedError(f"expected coordinates as {known}, got {mode.decode()}")
    return mode
