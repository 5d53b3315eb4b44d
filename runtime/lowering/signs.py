"""Lowering of what makes, moves and pools signs."""

from dataclasses import replace

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.graph import Node
from bnnkit.runtime.lowering.draft import Draft
from bnnkit.runtime.operators import OPERATORS
from bnnkit.runtime.operators.pooling import pool_output
from bnnkit.runtime.steps.real import Chain, CopyReal, Operator
from bnnkit.runtime.steps.signs import PackSigns, PoolSigns, UnpackSigns
from bnnkit.runtime.values import Array, Value


def sign(draft: Draft, node: Node) -> None:
    """Sign: +1 where x >= 0. A chain that made x gives its signs too."""
    position = draft.position(node.inputs[0])
    step = draft.steps[position] if position >= 0 else None
    if isinstance(step, Chain) and step.signs is None:
        draft.steps[position] = replace(step, signs=node.outputs[0])
        shape = draft.values[node.inputs[0]].shape
        draft.values[node.outputs[0]] = Value(kind="signs", shape=shape)
        return
    value = draft.values[node.inputs[0]]
    zeros = np.zeros(value.map[0], np.float32)
    _pack(draft, node, zeros)


def threshold(draft: Draft, node: Node) -> None:
    """A Threshold that was not lowered with the layer before it."""
    _pack(draft, node, draft.constant(node, 1).reshape(-1))


def _pack(draft: Draft, node: Node, thresholds: Array) -> None:
    source, target = node.inputs[0], node.outputs[0]
    shape = draft.values[source].shape
    if len(shape) not in (1, 3):
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}): expected maps (N, C, H, W) or vectors (N, F),"
            f" got the shape (N, {', '.join(map(str, shape))})"
        )
    if draft.kind(source) == "image":  # its channels are not contiguous
        stored = f"{node.name}/stored"
        copy = CopyReal(name=node.name, source=source, target=stored)
        draft.add(copy, Value(kind="real", shape=shape))
        source = stored
    step = PackSigns(name=node.name, source=source, target=target, thresholds=thresholds)
    draft.add(step, Value(kind="signs", shape=shape))


def lower_move(draft: Draft, node: Node) -> bool:
    """Lower an operator that moves signs about or pools them; tell whether it was one."""
    if not node.inputs or draft.kind(node.inputs[0]) != "signs":
        return False
    if node.kind == "MaxPool":
        _max_pool(draft, node)
    elif node.kind == "Pad" and _pads_with_ones(draft, node):
        _pad(draft, node)
    elif node.kind in ("Flatten", "Reshape") and _flattens(draft, node):
        _flatten(draft, node)
    elif node.kind == "DequantizeLinear" and _dequantizes_signs(draft, node):
        _dequantize(draft, node)
    else:
        return False
    return True


def _max_pool(draft: Draft, node: Node) -> None:
    """MaxPool of signs."""
    source, target = node.inputs[0], node.outputs[0]
    channels, height, width = draft.signs(source).map
    size = tuple(node.attributes["kernel_shape"])
    stride = tuple(node.attributes.get("strides", (1, 1)))
    dilation = tuple(node.attributes.get("dilations", (1, 1)))
    top, left, bottom, right = node.attributes.get("pads", (0, 0, 0, 0))
    ceil = bool(node.attributes.get("ceil_mode", 0))
    out = (
        pool_output(height, size[0], stride[0], (top, bottom), dilation[0], ceil),
        pool_output(width, size[1], stride[1], (left, right), dilation[1], ceil),
    )
    step = PoolSigns(
        name=node.name,
        source=source,
        target=target,
        size=size,
        stride=stride,
        dilation=dilation,
        padding=(top, left),
    )
    draft.add(step, Value(kind="signs", shape=(channels, *out)))


def _pads_with_ones(draft: Draft, node: Node) -> bool:
    """Whether a Pad of signs adds +1 around a map and nothing else."""
    if node.attributes.get("mode", b"constant") != b"constant" or len(node.inputs) > 3:
        return False
    pads = draft.constant(node, 1)
    is_spatial = len(pads) == 8 and not pads[[0, 1, 4, 5]].any() and (pads >= 0).all()
    has_ones = len(node.inputs) == 3 and int(draft.constant(node, 2)) == 2
    return bool(is_spatial and has_ones)


def _pad(draft: Draft, node: Node) -> None:
    """Padding with +1, put off: a convolution takes it from the margin."""
    _, _, top, left, _, _, bottom, right = draft.constant(node, 1).tolist()
    source, target = node.inputs[0], node.outputs[0]
    channels, height, width = draft.signs(source).map
    shape = (channels, height + top + bottom, width + left + right)
    draft.values[target] = Value(kind="signs", shape=shape)
    draft.padded[target] = (source, (top, left, bottom, right))


def _flattens(draft: Draft, node: Node) -> bool:
    """Whether a Flatten or Reshape of signs turns (N, C, H, W) into (N, C * H * W)."""
    if node.kind == "Flatten":
        return int(node.attributes.get("axis", 1)) == 1
    name = node.inputs[1]
    if draft.kind(name) == "shape":
        return True
    shape = draft.constant(node, 1).tolist()
    features = int(np.prod(draft.values[node.inputs[0]].shape))
    return len(shape) == 2 and (shape[1] == features or shape == [0, -1])


def _flatten(draft: Draft, node: Node) -> None:
    """Flattening, put off: a dense layer reorders its weights instead."""
    source, target = node.inputs[0], node.outputs[0]
    features = int(np.prod(draft.signs(source).shape))
    draft.values[target] = Value(kind="signs", shape=(features,))
    draft.flattened[target] = source


def _dequantize(draft: Draft, node: Node) -> None:
    """DequantizeLinear(signs, 1, 1): the real numbers -1 and +1."""
    source, target = node.inputs[0], node.outputs[0]
    if source not in draft.flattened:
        value = Value(kind="real", shape=draft.signs(source).shape)
        draft.add(UnpackSigns(name=node.name, source=source, target=target), value)
        return
    source = draft.flattened[source]
    shape, real = draft.signs(source).shape, f"{node.name}/map"
    draft.add(
        UnpackSigns(name=node.name, source=source, target=real), Value(kind="real", shape=shape)
    )
    step = Operator(
        name=node.name,
        sources=(real,),
        target=target,
        function=OPERATORS["Flatten"],
        attributes={},
    )
    draft.add(step, Value(kind="real", shape=(int(np.prod(shape)),)))


def _dequantizes_signs(draft: Draft, node: Node) -> bool:
    """Whether the node's scale and zero point are those of signs."""
    scale, zero = draft.constant(node, 1), draft.constant(node, 2) if len(node.inputs) > 2 else 0
    return bool(np.all(scale == 1) and np.all(zero == 1))
