"""Operators that move elements about."""

import math
from dataclasses import replace
from typing import Final

import numpy as np
import onnx

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.source import Node
from bnnkit.tflite import options
from bnnkit.tflite.schema import Builtin, TensorType

_BATCH: Final = "expected the batch to stay the first axis"


def identity(draft: Draft, node: Node) -> None:
    """Nothing."""
    draft.give(node.output, draft.value(node))


def cast(draft: Draft, node: Node) -> None:
    """Sums are numbers already; an image becomes numbers."""
    x, target = draft.value(node), node.attributes["to"]
    if target != onnx.TensorProto.FLOAT or x.kind == "signs":
        raise UnsupportedError("expected one from a sum or an image to float")
    tensor = x.tensor
    if x.kind == "image":
        chosen = options.cast(TensorType.UINT8, TensorType.FLOAT32)
        tensor = draft.emit(Builtin.CAST, [tensor], draft.shape(tensor), options=chosen)
    draft.give(node.output, layout.real(x, tensor))


def flatten(draft: Draft, node: Node) -> None:
    """A map stays a map; who reads the vector orders its weights."""
    x = draft.value(node)
    if node.attributes.get("axis", 1) != 1:
        raise UnsupportedError("expected axis = 1")
    draft.give(node.output, layout.reshaped(draft, x, (math.prod(x.shape),)))


def reshape(draft: Draft, node: Node) -> None:
    """To another shape behind the batch."""
    x, wanted = draft.value(node), draft.constant_of(node, 1).tolist()
    whole = (draft.batch, *x.shape, *(-1 for _ in wanted))
    sizes = [whole[i] if n == 0 else int(n) for i, n in enumerate(wanted)]
    rest = sizes[1:]
    if -1 in rest:
        known = math.prod(n for n in rest if n != -1)
        rest[rest.index(-1)] = math.prod(x.shape) // known
    if math.prod(rest) != math.prod(x.shape):
        raise UnsupportedError(_BATCH)
    draft.give(node.output, layout.reshaped(draft, x, tuple(rest)))


def squeeze(draft: Draft, node: Node) -> None:
    """Axes of size 1 less: those named, or all behind the batch."""
    x = draft.value(node)
    n_axes = 1 + len(x.shape)
    given = draft.constant_of(node, 1).tolist() if len(node.inputs) > 1 else None
    axes = {i for i in range(1, n_axes) if x.shape[i - 1] == 1}
    if given is not None:
        axes = {int(axis) % n_axes for axis in given}
    draft.give(
        node.output,
        layout.reshaped(draft, x, tuple(n for i, n in enumerate(x.shape) if i + 1 not in axes)),
    )


def unsqueeze(draft: Draft, node: Node) -> None:
    """Axes of size 1 more."""
    x = draft.value(node)
    axes = draft.constant_of(node, 1).tolist()
    shape = np.expand_dims(np.empty((0, *x.shape)), tuple(axes)).shape[1:]
    draft.give(node.output, layout.reshaped(draft, x, shape))


def transpose(draft: Draft, node: Node) -> None:
    """TRANSPOSE, not of packed signs: XNNPACK gives up a whole file with one of int32."""
    x = layout.settled(draft, draft.value(node))
    n_axes = 1 + len(x.shape)
    order = [int(axis) for axis in node.attributes.get("perm", reversed(range(n_axes)))]
    if order[0] != 0:
        raise UnsupportedError(_BATCH)
    shape = tuple(x.shape[axis - 1] for axis in order[1:])
    where = layout.places(x)
    if where is None or len(shape) != 3:
        tensor = arithmetic.transpose(draft, layout.elements(draft, x), order)
        draft.give(node.output, layout.of_elements(draft, x, tensor, shape))
        return
    stored = [0, *(where[order[axis]] for axis in (2, 3, 1))]
    tensor, pixels = x.tensor, (shape[0], shape[1], shape[2])
    if x.kind == "signs":
        tensor = draft.signs.to_elements(draft, tensor, x.shape[0])
    tensor = arithmetic.transpose(draft, tensor, stored)
    if x.kind == "signs":
        tensor = draft.signs.of_elements(draft, tensor)
    draft.give(node.output, replace(x, tensor=tensor, shape=shape, map=pixels))
