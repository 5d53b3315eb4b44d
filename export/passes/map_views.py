"""How sequences (N, C, L) and values with channels last (N, ..., C) are seen as maps (N, C, H, W).

`SEQUENCE` adds a height of 1. `CHANNELS_LAST` moves the channels to axis 1; axes between batch and
channels become height and width: (N, T, C) has height 1, and of more than two axes all but the
last become the height.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.ir.graph import new_node, rank, shared_constant

Array = NDArray[Any]
_TO_MAP: Final = (0, 3, 1, 2)
_FROM_MAP: Final = (0, 2, 3, 1)
_SEQUENCE_HEIGHT: Final = 2
_TOKEN_HEIGHT: Final = 1


@dataclass(frozen=True)
class MapView:
    """One way to see values as maps.

    Attributes:
        to_map: The shape of the map, from that of the value.
        axes: The value's axis for each axis of the map, from the value's number of axes; None for
            one of length 1 that the map adds. None if the map joins axes.
        constant: A constant operand with all axes of the value, as an operand of the map; None if
            it differs along axes that the map joins.
        up: Makes the nodes from a value to its map.
        down: Makes the nodes from a map to the value of a shape.
    """

    to_map: Callable[[ir.Shape], ir.Shape]
    axes: Callable[[int], tuple[int | None, ...] | None]
    constant: Callable[[Array], Array | None]
    up: Callable[[ir.Graph, ir.Value, ir.Node], list[ir.Node]]
    down: Callable[[ir.Graph, ir.Value, ir.Shape, ir.Node], list[ir.Node]]


def _sequence_shape(shape: ir.Shape) -> ir.Shape:
    return ir.Shape([*shape[:2], 1, *shape[2:]])


def _channels_last_shape(shape: ir.Shape) -> ir.Shape:
    batch, *sizes, channels = shape
    return ir.Shape([batch, channels, *_height_and_width(sizes)])


def _height_and_width(sizes: list[Any]) -> tuple[Any, Any]:
    return (1, *sizes) if len(sizes) == 1 else (prod(sizes[:-1]), sizes[-1])


def _sequence_axes(n_axes: int) -> tuple[int | None, ...]:
    return (0, 1, None, *range(2, n_axes))


def _channels_last_axes(n_axes: int) -> tuple[int | None, ...] | None:
    return {3: (0, 2, None, 1), 4: _TO_MAP}.get(n_axes)


def _sequence_constant(content: Array) -> Array:
    return np.expand_dims(content, _SEQUENCE_HEIGHT)


def _channels_last_constant(content: Array) -> Array | None:
    batch, *sizes, channels = content.shape
    if len(sizes) > 2 and max(sizes) > 1:
        return None
    return content.reshape(batch, *_height_and_width(sizes), channels).transpose(_TO_MAP)


def _sequence_up(graph: ir.Graph, x: ir.Value, source: ir.Node) -> list[ir.Node]:
    shape = None if x.shape is None else _sequence_shape(x.shape)
    return [_with_axis("Unsqueeze", graph, x, source, shape, _SEQUENCE_HEIGHT)]


def _sequence_down(
    graph: ir.Graph, x: ir.Value, shape: ir.Shape, source: ir.Node
) -> list[ir.Node]:
    return [_with_axis("Squeeze", graph, x, source, shape, _SEQUENCE_HEIGHT)]


def _channels_last_up(graph: ir.Graph, x: ir.Value, source: ir.Node) -> list[ir.Node]:
    assert x.shape is not None  # the caller has read it
    mapped = _channels_last_shape(x.shape)
    nhwc = ir.Shape([mapped[0], mapped[2], mapped[3], mapped[1]])
    new: list[ir.Node] = []
    if rank(x) == 3:
        new.append(_with_axis("Unsqueeze", graph, x, source, nhwc, _TOKEN_HEIGHT))
    elif rank(x) > 4:
        new.append(_reshape(graph, x, source, nhwc))
    inner = new[-1].outputs[0] if new else x
    return [*new, _transpose(inner, source, mapped, _TO_MAP)]


def _channels_last_down(
    graph: ir.Graph, x: ir.Value, shape: ir.Shape, source: ir.Node
) -> list[ir.Node]:
    assert x.shape is not None  # of a map
    nhwc = ir.Shape([x.shape[0], x.shape[2], x.shape[3], x.shape[1]])
    turned = _transpose(x, source, nhwc, _FROM_MAP)
    inner = turned.outputs[0]
    if len(shape) == 3:
        return [turned, _with_axis("Squeeze", graph, inner, source, shape, _TOKEN_HEIGHT)]
    return [turned, _reshape(graph, inner, source, shape)] if len(shape) > 4 else [turned]


def _with_axis(
    op_type: str,
    graph: ir.Graph,
    x: ir.Value,
    source: ir.Node,
    shape: ir.Shape | None,
    axis: int,
) -> ir.Node:
    name = "height" if axis == _SEQUENCE_HEIGHT else f"axis_{axis}"
    axes = shared_constant(graph, name, np.array([axis]))
    return new_node(op_type, [x, axes], source=source, dtype=_dtype(x), shape=shape)


def _transpose(
    x: ir.Value, source: ir.Node, shape: ir.Shape, perm: tuple[int, int, int, int]
) -> ir.Node:
    attributes = {"perm": perm}
    return new_node(
        "Transpose", [x], source=source, dtype=_dtype(x), shape=shape, attributes=attributes
    )


def _reshape(graph: ir.Graph, x: ir.Value, source: ir.Node, shape: ir.Shape) -> ir.Node:
    sizes = np.array([-1, *(int(str(size)) for size in shape[1:])], np.int64)
    name = f"shape_{'_'.join(map(str, sizes[1:]))}"
    inputs = [x, shared_constant(graph, name, sizes)]
    return new_node("Reshape", inputs, source=source, dtype=_dtype(x), shape=shape)


def _dtype(x: ir.Value) -> ir.DataType:
    return x.dtype or ir.DataType.FLOAT


SEQUENCE: Final = MapView(
    _sequence_shape, _sequence_axes, _sequence_constant, _sequence_up, _sequence_down
)
CHANNELS_LAST: Final = MapView(
    _channels_last_shape,
    _channels_last_axes,
    _channels_last_constant,
    _channels_last_up,
    _channels_last_down,
)
