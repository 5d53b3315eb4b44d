"""Lowers Slice, Split and Concat."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout, moves
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import Map, TfliteValue

_BATCH = "expected other axes than the batch, got axis 0"


def slice_(builder: TfliteBuilder, node: Node) -> None:
    """Lower Slice to STRIDED_SLICE; with a negative step, to GATHER."""
    x = layout.materialized(builder, builder.value(node))
    starts, ends = (builder.constant_of(node, index).tolist() for index in (1, 2))
    axes: Sequence[Any] = range(len(starts))
    if len(node.inputs) > 3 and node.inputs[3]:
        axes = builder.constant_of(node, 3).tolist()
    steps = [1] * len(starts)
    if len(node.inputs) > 4:
        steps = builder.constant_of(node, 4).tolist()
    ranges = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis = axis % (1 + len(x.shape))
        if axis == 0:
            raise UnsupportedError(_BATCH)
        ranges[axis] = range(x.shape[axis - 1])[_cut(start, end, step)]
    if min(steps) > 0:
        builder.give(node.output, _taken(builder, x, ranges))
        return
    for axis, places in ranges.items():
        x = moves.taken(builder, x, axis, np.array(places, np.int64))
    builder.give(node.output, x)


def _cut(start: int, end: int, step: int) -> slice:
    """A range of ONNX as a slice of Python: the end before the first element has no number."""
    least = -(1 << 31)
    return slice(start, None if step < 0 and end < least else end, step)


def split(builder: TfliteBuilder, node: Node) -> None:
    """Lower one part of a Split; each part is a node (source.py)."""
    x = layout.materialized(builder, builder.value(node))
    axis = node.attributes.get("axis", 0) % (1 + len(x.shape))
    if axis == 0:
        raise UnsupportedError(_BATCH)
    part, n_parts, whole = node.attributes["part"], node.attributes["n_parts"], x.shape[axis - 1]
    size = -(-whole // n_parts)
    sizes = [size] * (n_parts - 1) + [whole - size * (n_parts - 1)]
    if len(node.inputs) > 1:
        sizes = builder.constant_of(node, 1).tolist()
    start = sum(sizes[:part])
    taken = range(start, start + sizes[part])
    builder.give(node.output, _taken(builder, x, {axis: taken}))


def _taken(builder: TfliteBuilder, x: TfliteValue, ranges: dict[int, range]) -> TfliteValue:
    """Slice a value by ranges of ONNX's axes."""
    shape = [len(ranges.get(axis, range(n))) for axis, n in enumerate(x.shape, start=1)]
    if min(shape) < 1:
        raise UnsupportedError(
            f"expected a part of the shape (N, *{x.shape}), got one of the size 0"
        )
    where = layout.stored_axes(x)
    if where is None:
        tensor = arithmetic.strided_slice(builder, layout.elements(builder, x), ranges)
        return layout.of_elements(builder, x, tensor, shape)
    unit, stored, tensor = _unit(builder, x), dict(ranges), x.tensor
    words = _words(ranges[1], x.shape[0], unit) if 1 in ranges else None
    apart = 1 in ranges and words is None
    if words is not None:
        stored[1] = words
    if apart:
        tensor = builder.signs.to_elements(builder, tensor, x.shape[0])
    tensor = arithmetic.strided_slice(
        builder, tensor, {where[axis]: r for axis, r in stored.items()}
    )
    if apart:
        tensor = builder.signs.of_elements(builder, tensor)
    return replace(x, tensor=tensor, shape=tuple(shape), map=_map(x, shape))


def _unit(builder: TfliteBuilder, x: TfliteValue) -> int:
    """Number of channels that an element of the tensor holds."""
    return builder.signs.channel_unit if x.kind == "signs" and x.map is not None else 1


def _words(channels: range, n_channels: int, unit: int) -> range | None:
    """The words of some channels; None if other channels share these words."""
    if unit == 1:
        return channels
    fills = channels.stop % unit == 0 or channels.stop == n_channels
    if channels.step != 1 or channels.start % unit or not fills:
        return None
    return range(channels.start // unit, -(-channels.stop // unit))


def _map(x: TfliteValue, shape: Sequence[int]) -> Map | None:
    """The map of a part, or of joined parts, in the layout of a value."""
    if x.map is None:
        return None
    channels, height, width = (*shape, 1, 1)[:3]
    return channels, height, width


def _stored(builder: TfliteBuilder, name: str, like: TfliteValue) -> TfliteValue:
    """A constant as a value beside a computed one; it is the same for all images."""
    numbers = builder.source.constants[name]
    if like.kind != "real" or numbers.dtype.kind != "f":
        raise UnsupportedError(
            f"expected real numbers beside {name!r}, got {like.kind} and {numbers.dtype}"
        )
    shape = (builder.batch, *numbers.shape[1:])
    tensor = builder.constant(np.broadcast_to(numbers, shape).astype(np.float32))
    return layout.of_elements(builder, replace(like, map=None), tensor, numbers.shape[1:])


def concat(builder: TfliteBuilder, node: Node) -> None:
    """Lower Concat; signs stay packed along the channels if they fill their words."""
    computed = [builder.values[name] for name in node.inputs if name in builder.values]
    values = [
        layout.materialized(builder, builder.values[name])
        if name in builder.values
        else _stored(builder, name, computed[0])
        for name in node.inputs
    ]
    first = computed[0]
    axis = node.attributes["axis"] % (1 + len(first.shape))
    if axis == 0:
        raise UnsupportedError(_BATCH)
    if len({value.kind for value in values}) > 1:
        kinds = ", ".join(value.kind for value in values)
        raise UnsupportedError(f"expected values of the same kind, got {kinds}")
    shape = list(first.shape)
    shape[axis - 1] = sum(value.shape[axis - 1] for value in values)
    minus_zero = any(value.may_be_minus_zero for value in values)
    like = replace(first, may_be_minus_zero=minus_zero)
    where = layout.stored_axes(first)
    if where is None or any(layout.stored_axes(value) != where for value in values):
        tensors = [layout.elements(builder, value) for value in values]
        tensor = arithmetic.concatenate(builder, tensors, axis)
        builder.give(node.output, layout.of_elements(builder, like, tensor, shape))
        return
    tensors = [value.tensor for value in values]
    apart = axis == 1 and any(value.shape[0] % _unit(builder, value) for value in values[:-1])
    if apart:
        tensors = [builder.signs.to_elements(builder, v.tensor, v.shape[0]) for v in values]
    tensor = arithmetic.concatenate(builder, tensors, where[axis])
    if apart:
        tensor = builder.signs.of_elements(builder, tensor)
    result = replace(like, tensor=tensor, shape=tuple(shape), map=_map(first, shape))
    builder.give(node.output, result)
