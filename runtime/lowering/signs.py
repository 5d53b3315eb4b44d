"""Lowering of operators that compute, move and convert signs."""

from dataclasses import replace
from typing import TypeGuard

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.artifact.standard.elementwise import Attributes
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.lowering.numpy_operator import BATCHES, example, input_of
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import FLOAT, Array, Value
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.layer_norm import LayerNorm
from bnnkit.runtime.steps.real import Chain, CopyReal, NumpyOperator
from bnnkit.runtime.steps.signs import PackSigns, UnpackSigns
from bnnkit.runtime.steps.step import Step


def lower_sign(builder: PlanBuilder, node: Node) -> None:
    """Lower a Sign, +1 where x >= 0.

    A chain, or a convolution that adds a skip connection, can compute the signs of its result too.
    """
    position = builder.position(node.inputs[0])
    step = builder.steps[position] if position >= 0 else None
    value = builder.values[node.inputs[0]]
    # A view may have other pixels than what the step computes.
    if step is not None and _packs_signs(step) and builder.values[step.target].map == value.map:
        builder.steps[position] = replace(step, signs=node.outputs[0])
        builder.values[node.outputs[0]] = value.alike("signs")
        return
    if value.kind in ("real", "image") and not value.is_map:
        _sign_in_numpy(builder, node, value)
    else:
        _pack(builder, node, np.zeros(value.map[0], np.float32))


def _packs_signs(step: Step) -> TypeGuard[Chain | LayerNorm | Convolution]:
    """Whether a step can compute the signs of its result, and does not yet."""
    if isinstance(step, Convolution):
        return step.added is not None and step.signs is None
    return isinstance(step, Chain | LayerNorm) and step.signs is None


def _sign_in_numpy(builder: PlanBuilder, node: Node, value: Value) -> None:
    """Append a Sign of a shape that is neither map nor vector, as codes, to be reshaped later."""
    step = NumpyOperator(
        name=node.name,
        sources=(node.inputs[0],),
        target=node.outputs[0],
        function=_codes_of,
        attributes={},
    )
    builder.add(step, Value(kind="codes", shape=value.shape, dtype=np.dtype(np.uint8)))


def _codes_of(attributes: Attributes, x: Array) -> Array:
    """Return the signs of x as codes, 2 for +1 and 0 for -1."""
    return np.where(x >= 0, 2, 0).astype(np.uint8)


def lower_threshold(builder: PlanBuilder, node: Node) -> None:
    """Lower a Threshold that is not part of an epilogue."""
    _pack(builder, node, builder.constant(node, 1).reshape(-1))


def _pack(builder: PlanBuilder, node: Node, thresholds: Array) -> None:
    source, target = node.inputs[0], node.outputs[0]
    value = builder.values[source]
    if not value.is_map or value.kind in ("signs", "codes", "shape"):
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}): expected maps (N, C, H, W) or vectors (N, F) of"
            f" numbers, got {value.kind} of shape (N, {', '.join(map(str, value.shape))})"
        )
    if thresholds.size not in (1, value.map[0]):
        raise ArtifactError(
            f"node {node.name!r} ({node.kind}): expected a threshold for each of {value.map[0]}"
            f" channels, got {thresholds.size}"
        )
    is_integer = value.kind == "sums" or value.dtype == np.int32
    dtype = np.dtype(np.int32) if is_integer else FLOAT
    if value.kind == "image" or (value.kind == "real" and value.dtype != dtype):
        # The kernel needs contiguous channels of the right type.
        copy = CopyReal(name=node.name, source=source, target=f"{node.name}/stored")
        builder.add(copy, replace(value.alike(), dtype=dtype))
        source = copy.target
    thresholds = np.broadcast_to(thresholds, value.map[0]).astype(dtype)
    step = PackSigns(name=node.name, source=source, target=target, thresholds=thresholds)
    builder.add(step, value.alike("signs"))


def lower_sign_move(builder: PlanBuilder, node: Node) -> bool:
    """Lower an operator that pads, flattens or dequantizes packed signs.

    Returns:
        Whether the node was such an operator.
    """
    if not node.inputs or builder.kind(node.inputs[0]) != "signs":
        return False
    if builder.values[node.inputs[0]].layout != "onnx":
        is_real = node.kind == "DequantizeLinear" and dequantizes_signs(builder, node)
        if is_real:
            _dequantize_in_place(builder, node)
        return is_real
    if node.kind == "Pad" and _pads_with_ones(builder, node):
        _defer_padding(builder, node)
    elif node.kind in ("Flatten", "Reshape") and flattens(builder, node):
        _defer_flattening(builder, node)
    elif node.kind == "DequantizeLinear" and dequantizes_signs(builder, node):
        _dequantize(builder, node)
    else:
        return False
    return True


def _pads_with_ones(builder: PlanBuilder, node: Node) -> bool:
    """Whether a Pad of signs adds +1 around a map and nothing else."""
    if node.attributes.get("mode", b"constant") != b"constant" or len(node.inputs) > 3:
        return False
    pads = builder.constant(node, 1)
    is_spatial = len(pads) == 8 and not pads[[0, 1, 4, 5]].any() and (pads >= 0).all()
    has_ones = len(node.inputs) == 3 and int(builder.constant(node, 2)) == 2
    return bool(is_spatial and has_ones)


def _defer_padding(builder: PlanBuilder, node: Node) -> None:
    """Defer padding with +1, which a convolution reads from the margin."""
    _, _, top, left, _, _, bottom, right = builder.constant(node, 1).tolist()
    source, target = node.inputs[0], node.outputs[0]
    source = builder.packed_signs(source)
    channels, height, width = builder.values[source].map
    shape = (channels, height + top + bottom, width + left + right)
    builder.values[target] = Value(kind="signs", shape=shape)
    builder.padded[target] = (source, (top, left, bottom, right))


def flattens(builder: PlanBuilder, node: Node) -> bool:
    """Whether a Flatten or Reshape turns (N, C, H, W) into (N, C * H * W)."""
    if node.kind == "Flatten":
        return int(node.attributes.get("axis", 1)) == 1
    features = int(np.prod(builder.values[node.inputs[0]].shape))
    shape_of = input_of(builder, node.inputs[1])
    return all(
        (shape := example(builder, shape_of, batch)) is not None
        and len(shape) == 2
        and shape[0] in (-1, 0, batch)
        and shape[1] in (-1, features)
        and not (shape == -1).all()
        for batch in BATCHES
    )


def _defer_flattening(builder: PlanBuilder, node: Node) -> None:
    """Defer flattening, since a dense layer reorders its weights instead."""
    source, target = node.inputs[0], node.outputs[0]
    source = builder.packed_signs(source)
    features = int(np.prod(builder.values[source].shape))
    builder.values[target] = Value(kind="signs", shape=(features,))
    builder.flattened[target] = source


def _dequantize(builder: PlanBuilder, node: Node) -> None:
    """Append DequantizeLinear(signs, 1, 1): the real numbers -1 and +1."""
    source, target = node.inputs[0], node.outputs[0]
    if source not in builder.flattened:
        value = Value(kind="real", shape=builder.packed_value(source).shape)
        builder.add(UnpackSigns(name=node.name, source=source, target=target), value)
        return
    source = builder.packed_signs(builder.flattened[source])
    shape, real = builder.values[source].shape, f"{node.name}/map"
    builder.add(
        UnpackSigns(name=node.name, source=source, target=real), Value(kind="real", shape=shape)
    )
    step = NumpyOperator(
        name=node.name,
        sources=(real,),
        target=target,
        function=STANDARD_OPERATORS["Flatten"],
        attributes={},
    )
    builder.add(step, Value(kind="real", shape=(int(np.prod(shape)),)))


def _dequantize_in_place(builder: PlanBuilder, node: Node) -> None:
    """Append the real numbers of signs that are a map in another layout than ONNX's."""
    source, target = node.inputs[0], node.outputs[0]
    step = UnpackSigns(name=node.name, source=source, target=target)
    builder.add(step, builder.values[source].alike())


def dequantizes_signs(builder: PlanBuilder, node: Node) -> bool:
    """Whether scale and zero point of a DequantizeLinear are 1, as for signs, in float32."""
    scale, zero = (
        builder.constant(node, 1),
        builder.constant(node, 2) if len(node.inputs) > 2 else 0,
    )
    return bool(scale.dtype == FLOAT and np.all(scale == 1) and np.all(zero == 1))
