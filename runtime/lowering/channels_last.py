"""Lowering of changes between channels last and maps, which are copies since buffers are NHWC."""

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import FLOAT, Value
from bnnkit.runtime.steps.real import CopyTokens, FromChannelsLast

TO_NCHW = (0, 3, 1, 2)
TO_NHWC = (0, 2, 3, 1)
_HEIGHT = 1
"""The axis of the height in NHWC."""


def lower_channels_last(builder: PlanBuilder, node: Node) -> bool:
    """Lower a Transpose of an NHWC input to NCHW, or one between tokens (N, T, C) and a map.

    Returns:
        Whether the node was such a Transpose, or the Unsqueeze before one.
    """
    value = builder.values.get(node.inputs[0]) if node.inputs else None
    if value is None or value.dtype != FLOAT:
        return False
    if value.kind == "image" and _perm(node) == TO_NCHW:
        _copy_image(builder, node, value)
        return True
    if value.kind == "real" and _has_height(builder, node, "Unsqueeze") and len(value.shape) == 2:
        tokens, channels = value.shape
        reader = builder.graph.sole_reader(node.outputs[0])
        if reader is not None and _perm(reader) == TO_NCHW:
            _copy_tokens(builder, node, reader, (channels, 1, tokens))
            return True
    if value.kind == "real" and _perm(node) == TO_NHWC and value.shape[1:2] == (1,):
        channels, _, tokens = value.shape
        reader = builder.graph.sole_reader(node.outputs[0])
        if reader is not None and _has_height(builder, reader, "Squeeze"):
            _copy_tokens(builder, node, reader, (tokens, channels))
            return True
    return False


def _perm(node: Node) -> tuple[int, ...]:
    return tuple(node.attributes.get("perm", ())) if node.kind == "Transpose" else ()


def _copy_image(builder: PlanBuilder, node: Node, value: Value) -> None:
    source, target = node.inputs[0], node.outputs[0]
    height, width, channels = value.shape
    # Kernels other than Conv read whole vectors of channels.
    is_tight = all(reader.kind == "Conv" for reader in builder.graph.readers(target))
    step = FromChannelsLast(name=node.name, source=source, target=target)
    builder.add(step, Value(kind="real", shape=(channels, height, width), is_tight=is_tight))


def _has_height(builder: PlanBuilder, node: Node, kind: str) -> bool:
    """Whether a node has the kind, and adds or removes the height of NHWC and nothing else."""
    axes = builder.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    return node.kind == kind and axes is not None and np.array_equal(axes, [_HEIGHT])


def _copy_tokens(builder: PlanBuilder, node: Node, reader: Node, shape: tuple[int, ...]) -> None:
    """Append a copy that computes a node and its only reader."""
    step = CopyTokens(name=node.name, source=node.inputs[0], target=reader.outputs[0])
    builder.add(step, Value(kind="real", shape=shape))
    builder.done.add(reader.name)
