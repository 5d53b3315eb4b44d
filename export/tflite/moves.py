"""Lowers operators that move or repeat elements: Gather, Tile, DepthToSpace, SpaceToDepth."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.options import BlockOptions
from bnnkit.tflite.schema import Builtin


def taken(
    builder: TfliteBuilder, x: TfliteValue, axis: int, places: NDArray[np.int64]
) -> TfliteValue:
    """The elements of a value at some places of one of ONNX's axes."""
    x = layout.materialized(builder, x)
    shape = [len(places) if i == axis else n for i, n in enumerate(x.shape, start=1)]
    where = layout.stored_axes(x)
    if where is None or x.kind == "signs":
        tensor = arithmetic.gather(builder, layout.elements(builder, x), places, axis)
        return layout.of_elements(builder, x, tensor, shape)
    tensor = arithmetic.gather(builder, x.tensor, places, where[axis])
    pixels = None
    if x.map is not None:
        channels, height, width = (*shape, 1, 1)[:3]
        pixels = (channels, height, width)
    return replace(x, tensor=tensor, shape=tuple(shape), map=pixels)


def gather(builder: TfliteBuilder, node: Node) -> None:
    """Lower Gather with constant places to GATHER."""
    x, places = builder.value(node), builder.constant_of(node, 1).astype(np.int64)
    axis = node.attributes.get("axis", 0) % (1 + len(x.shape))
    if axis == 0:
        raise UnsupportedError("expected other axes than the batch, got axis 0")
    size = x.shape[axis - 1]
    flat = np.where(places < 0, places + size, places).reshape(-1)
    if flat.size and (flat.min() < 0 or flat.max() >= size):
        raise UnsupportedError(
            f"expected places from {-size} to {size - 1}, got {places.min()} to {places.max()}"
        )
    found = taken(builder, x, axis, flat)
    shape = (*x.shape[: axis - 1], *places.shape, *x.shape[axis:])
    builder.give(node.output, layout.reshaped(builder, found, shape))


def tile(builder: TfliteBuilder, node: Node) -> None:
    """Lower Tile with constant counts to TILE."""
    x, times = builder.value(node), [int(n) for n in builder.constant_of(node, 1)]
    if x.kind != "real" or times[0] != 1 or len(times) != 1 + len(x.shape):
        raise UnsupportedError(
            f"expected real numbers that are repeated within an image, got {x.kind} and {times}"
        )
    shape = [size * count for size, count in zip(x.shape, times[1:], strict=True)]
    tensor = layout.as_onnx(builder, x)
    inputs = [tensor, builder.integers(*times)]
    result = builder.emit(Builtin.TILE, inputs, (builder.batch, *shape))
    builder.give(node.output, layout.of_elements(builder, replace(x, map=None), result, shape))


def depth_to_space(builder: TfliteBuilder, node: Node) -> None:
    """Lower DepthToSpace; TFLite's has the channels last within a block, as ONNX's DCR.

    Signs are moved one element each.
    """
    x, block = _map(builder, node, "real", "signs"), node.attributes["blocksize"]
    channels, height, width = x.shape
    depth, tensor, has_signs = channels // block**2, x.tensor, x.kind == "signs"
    if has_signs:
        tensor = builder.signs.to_elements(builder, tensor, channels)
    if node.attributes.get("mode", b"DCR") == b"CRD":
        order = np.arange(channels).reshape(depth, block**2).T.reshape(-1)
        tensor = arithmetic.gather(builder, tensor, order, 3)
    shape = (depth, height * block, width * block)
    stored = (builder.batch, shape[1], shape[2], depth)
    options, kind = BlockOptions(block_size=block), builder.type(tensor)
    tensor = builder.emit(Builtin.DEPTH_TO_SPACE, [tensor], stored, kind=kind, options=options)
    if has_signs:
        tensor = builder.signs.of_elements(builder, tensor)
    builder.give(node.output, replace(x, tensor=tensor, shape=shape, map=shape))


def space_to_depth(builder: TfliteBuilder, node: Node) -> None:
    """Lower SpaceToDepth; TFLite's has the channels last within a block, as ONNX's DCR."""
    x, block = _map(builder, node, "real"), node.attributes["blocksize"]
    channels, height, width = x.shape
    shape = (channels * block**2, height // block, width // block)
    stored = (builder.batch, shape[1], shape[2], shape[0])
    options = BlockOptions(block_size=block)
    tensor = builder.emit(Builtin.SPACE_TO_DEPTH, [x.tensor], stored, options=options)
    if node.attributes.get("mode", b"DCR") == b"CRD":
        order = np.arange(shape[0]).reshape(block**2, channels).T.reshape(-1)
        tensor = arithmetic.gather(builder, tensor, order, 3)
    builder.give(node.output, replace(x, tensor=tensor, shape=shape, map=shape))


def _map(builder: TfliteBuilder, node: Node, *kinds: str) -> TfliteValue:
    x = layout.materialized(builder, builder.value(node))
    if x.kind not in kinds or len(x.shape) != 3 or x.map is None:
        raise UnsupportedError(
            f"expected a map of {' or '.join(kinds)}, got {x.kind} (N, *{x.shape})"
        )
    return x
