"""Operators that move elements about."""

import math
from dataclasses import replace

import numpy as np
import onnx

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout, options
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.values import Value
from bnnkit.export.tflite.window import Pads
from bnnkit.tflite_schema import Builtin, TensorType

_PLUS = 2
"""The signs' code of +1; that of -1 is 0."""
_MINUS = -1
"""As a sign of int8, and as a word of signs."""


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


def pad(draft: Draft, node: Node) -> None:
    """A margin of +1, which the next layer may pad by itself; or PAD or PADV2.

    Negative pads take off what is there.
    """
    x, pads = _cropped(draft, draft.value(node), _pads(draft, node))
    value = draft.constant_of(node, 2).item() if len(node.inputs) > 2 and node.inputs[2] else 0
    channels, height, width = x.shape
    shape = (channels, height + pads[0] + pads[2], width + pads[1] + pads[3])
    if x.kind == "signs" and value == _PLUS:
        top, left, bottom, right = (a + b for a, b in zip(x.margin, pads, strict=True))
        draft.give(node.output, replace(x, shape=shape, margin=(top, left, bottom, right)))
        return
    x = layout.settled(draft, x)
    if x.kind == "signs" and (value != 0 or channels % draft.signs.channel_unit):
        raise UnsupportedError(
            f"signs can be padded with +1, and where their channels are a"
            f" multiple of {draft.signs.channel_unit} with -1"
        )
    filler = _MINUS if x.kind == "signs" else value or None
    tensor = arithmetic.pad(draft, x.tensor, pads, filler)
    draft.give(node.output, replace(x, tensor=tensor, shape=shape, map=shape))


def _cropped(draft: Draft, x: Value, pads: Pads) -> tuple[Value, Pads]:
    """A map without what negative pads take off, and the pads that are left."""
    if min(pads) >= 0:
        return x, pads
    x = layout.settled(draft, x)
    channels, height, width = x.shape
    top, left, bottom, right = (max(-n, 0) for n in pads)
    rows, columns = range(top, height - bottom), range(left, width - right)
    if not (rows and columns):
        raise UnsupportedError(f"the pads {pads} leave nothing of a map of {height} x {width}")
    shape = (channels, len(rows), len(columns))
    tensor = arithmetic.cut(draft, x.tensor, {1: rows, 2: columns})
    top, left, bottom, right = (max(n, 0) for n in pads)
    return replace(x, tensor=tensor, shape=shape, map=shape), (top, left, bottom, right)


def _pads(draft: Draft, node: Node) -> Pads:
    numbers = draft.constant_of(node, 1).tolist()
    mode = node.attributes.get("mode", b"constant")
    given = draft.constant_of(node, 3).tolist() if len(node.inputs) > 3 else range(4)
    widths = dict.fromkeys(range(4), (0, 0))
    half = len(numbers) // 2
    for i, axis in enumerate(given):
        widths[int(axis) % 4] = (int(numbers[i]), int(numbers[i + half]))
    if (
        mode != b"constant"
        or len(draft.value(node).shape) != 3
        or widths[0] + widths[1] != (0,) * 4
    ):
        raise UnsupportedError("expected a constant around a map")
    (top, bottom), (left, right) = widths[2], widths[3]
    return top, left, bottom, right


def flatten(draft: Draft, node: Node) -> None:
    """A map stays a map; who reads the vector orders its weights."""
    x = draft.value(node)
    if node.attributes.get("axis", 1) != 1:
        raise UnsupportedError("expected axis = 1")
    _reshaped(draft, node, x, (math.prod(x.shape),))


def reshape(draft: Draft, node: Node) -> None:
    """To another shape behind the batch."""
    x, wanted = draft.value(node), draft.constant_of(node, 1).tolist()
    whole = (draft.batch, *x.shape)
    sizes = [whole[i] if n == 0 else int(n) for i, n in enumerate(wanted)]
    rest = sizes[1:]
    if -1 in rest:
        known = math.prod(n for n in rest if n != -1)
        rest[rest.index(-1)] = math.prod(x.shape) // known
    if math.prod(rest) != math.prod(x.shape):
        raise UnsupportedError("expected the batch to stay the first axis")
    _reshaped(draft, node, x, tuple(rest))


def squeeze(draft: Draft, node: Node) -> None:
    """Axes of size 1 less: those named, or all behind the batch."""
    x = draft.value(node)
    n_axes = 1 + len(x.shape)
    given = draft.constant_of(node, 1).tolist() if len(node.inputs) > 1 else None
    axes = {i for i in range(1, n_axes) if x.shape[i - 1] == 1}
    if given is not None:
        axes = {int(axis) % n_axes for axis in given}
    _reshaped(draft, node, x, tuple(n for i, n in enumerate(x.shape) if i + 1 not in axes))


def unsqueeze(draft: Draft, node: Node) -> None:
    """Axes of size 1 more."""
    x = draft.value(node)
    axes = draft.constant_of(node, 1).tolist()
    shape = np.expand_dims(np.empty((0, *x.shape)), tuple(axes)).shape[1:]
    _reshaped(draft, node, x, shape)


def _reshaped(draft: Draft, node: Node, x: Value, shape: tuple[int, ...]) -> None:
    x = layout.settled(draft, x)
    if shape == x.shape:
        draft.give(node.output, x)
    elif x.map is not None and (len(shape) == 1 or shape == x.map):
        draft.give(node.output, replace(x, shape=shape))
    elif x.kind == "real":
        tensor = arithmetic.reshape(draft, layout.as_onnx(draft, x), (draft.batch, *shape))
        pixels = None
        if len(shape) == 3:
            pixels = (shape[0], shape[1], shape[2])
            tensor = arithmetic.transpose(draft, tensor, (0, 2, 3, 1))
        draft.give(node.output, layout.real(x, tensor, shape=shape, map=pixels))
    else:
        raise UnsupportedError(f"{x.kind} can only be flattened")


def concat(draft: Draft, node: Node) -> None:
    """CONCATENATION of numbers along any axis, of signs where they fill their words."""
    values = [layout.settled(draft, draft.value(node, i)) for i in range(len(node.inputs))]
    first = values[0]
    n_axes = 1 + len(first.shape)
    axis = node.attributes["axis"] % n_axes
    kinds = {value.kind for value in values}
    ragged = any(value.shape[0] % draft.signs.channel_unit for value in values[:-1])
    if len(kinds) > 1 or axis == 0 or (first.kind == "signs" and axis == 1 and ragged):
        raise UnsupportedError(
            f"expected values of one kind, and signs of channels that are a"
            f" multiple of {draft.signs.channel_unit}"
        )
    if n_axes == 4 and first.map is not None:
        tensors, where = [value.tensor for value in values], {1: 3, 2: 1, 3: 2}[axis]
    elif first.kind == "signs":
        raise UnsupportedError("expected maps of signs")
    else:
        tensors, where = [layout.as_onnx(draft, value) for value in values], axis
    tensor = arithmetic.concatenate(draft, tensors, where)
    shape = list(first.shape)
    shape[axis - 1] = sum(value.shape[axis - 1] for value in values)
    pixels = (shape[0], shape[1], shape[2]) if n_axes == 4 else None
    minus_zero = any(value.may_be_minus_zero for value in values)
    joined = replace(first, tensor=tensor, may_be_minus_zero=minus_zero)
    draft.give(node.output, replace(joined, shape=tuple(shape), map=pixels))
