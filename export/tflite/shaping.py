"""Lowers Reshape, Transpose, Cast and the like."""

import math
from dataclasses import replace
from typing import Final

import numpy as np
import onnx

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.tflite.options import CastOptions
from bnnkit.tflite.schema import Builtin, TensorType

_BATCH: Final = "expected the batch to stay the first axis"


def identity(builder: TfliteBuilder, node: Node) -> None:
    """Lower Identity and Dropout to nothing."""
    builder.give(node.output, builder.value(node))


def cast(builder: TfliteBuilder, node: Node) -> None:
    """Lower Cast of an image to CAST; sums already are float32."""
    x, target = builder.value(node), node.attributes["to"]
    if target != onnx.TensorProto.FLOAT or x.kind == "signs":
        name = onnx.TensorProto.DataType.Name(target)
        raise UnsupportedError(
            f"expected a Cast of a sum or an image to FLOAT, got one of {x.kind} to {name}"
        )
    tensor = x.tensor
    if x.kind == "image":
        options = CastOptions(in_data_type=TensorType.UINT8, out_data_type=TensorType.FLOAT32)
        tensor = builder.emit(Builtin.CAST, [tensor], builder.shape(tensor), options=options)
    builder.give(node.output, layout.real(x, tensor))


def flatten(builder: TfliteBuilder, node: Node) -> None:
    """Lower Flatten to nothing: a map stays a map, and its reader reorders its weights."""
    x = builder.value(node)
    if (axis := node.attributes.get("axis", 1)) != 1:
        raise UnsupportedError(f"expected axis = 1, got {axis}: flatten all axes but the batch")
    builder.give(node.output, layout.reshaped(builder, x, (math.prod(x.shape),)))


def reshape(builder: TfliteBuilder, node: Node) -> None:
    """Lower Reshape that keeps the batch."""
    x, wanted = builder.value(node), builder.constant_of(node, 1).tolist()
    whole = (builder.batch, *x.shape, *(-1 for _ in wanted))
    sizes = [whole[i] if n == 0 else int(n) for i, n in enumerate(wanted)]
    rest = sizes[1:]
    if -1 in rest:
        known = math.prod(n for n in rest if n != -1)
        rest[rest.index(-1)] = math.prod(x.shape) // known
    if math.prod(rest) != math.prod(x.shape):
        raise UnsupportedError(_BATCH)
    builder.give(node.output, layout.reshaped(builder, x, tuple(rest)))


def squeeze(builder: TfliteBuilder, node: Node) -> None:
    """Lower Squeeze: remove given axes, or all axes of size 1 except the batch."""
    x = builder.value(node)
    n_axes = 1 + len(x.shape)
    given = builder.constant_of(node, 1).tolist() if len(node.inputs) > 1 else None
    axes = {i for i in range(1, n_axes) if x.shape[i - 1] == 1}
    if given is not None:
        axes = {int(axis) % n_axes for axis in given}
    builder.give(
        node.output,
        layout.reshaped(builder, x, tuple(n for i, n in enumerate(x.shape) if i + 1 not in axes)),
    )


def unsqueeze(builder: TfliteBuilder, node: Node) -> None:
    """Lower Unsqueeze: add axes of size 1."""
    x = builder.value(node)
    axes = builder.constant_of(node, 1).tolist()
    shape = np.expand_dims(np.empty((0, *x.shape)), tuple(axes)).shape[1:]
    builder.give(node.output, layout.reshaped(builder, x, shape))


def transpose(builder: TfliteBuilder, node: Node) -> None:
    """Lower Transpose, unpacking signs: XNNPACK rejects a file with a TRANSPOSE of int32."""
    x = layout.materialized(builder, builder.value(node))
    n_axes = 1 + len(x.shape)
    order = [int(axis) for axis in node.attributes.get("perm", reversed(range(n_axes)))]
    if order[0] != 0:
        raise UnsupportedError(_BATCH)
    shape = tuple(x.shape[axis - 1] for axis in order[1:])
    where = layout.stored_axes(x)
    if where is None or len(shape) != 3:
        tensor = arithmetic.transpose(builder, layout.elements(builder, x), order)
        builder.give(node.output, layout.of_elements(builder, x, tensor, shape))
        return
    stored = [0, *(where[order[axis]] for axis in (2, 3, 1))]
    tensor, pixels = x.tensor, (shape[0], shape[1], shape[2])
    if x.kind == "signs":
        tensor = builder.signs.to_elements(builder, tensor, x.shape[0])
    tensor = arithmetic.transpose(builder, tensor, stored)
    if x.kind == "signs":
        tensor = builder.signs.of_elements(builder, tensor)
    builder.give(node.output, replace(x, tensor=tensor, shape=shape, map=pixels))
