"""Inputs of a node in a form that its lowering can read."""

from dataclasses import replace

from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.lowering.moved_signs import MOVES, move_in_numpy
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.lowering.signs import dequantizes_signs
from bnnkit.runtime.lowering.views import tokens_of_input
from bnnkit.runtime.memory.values import Value
from bnnkit.runtime.steps.real import CopyReal

_PACKS_MOVED_SIGNS = {*MOVES, "bnnkit.BinaryMatMul"}
"""Operators that read deferred signs as they lie in memory."""
_READS_ANY_LAYOUT = {"bnnkit.Sign", "bnnkit.BinaryMatMul"}
_READS_MAPS = {"Conv", "ConvTranspose"}


def with_readable_inputs(builder: PlanBuilder, node: Node) -> Node:
    """Return the node with inputs that its lowering can read; steps are appended where needed."""
    for name in node.inputs:
        if name in builder.moved and not _reads_moved_signs(builder, node):
            move_in_numpy(builder, name)
    inputs = tuple(tokens_of_input(builder, node, name) for name in node.inputs)
    if inputs != node.inputs:
        node = replace(node, inputs=inputs)
    if not _reads_maps(node):
        return node
    return replace(node, inputs=tuple(_as_map(builder, node, name) for name in node.inputs))


def _reads_moved_signs(builder: PlanBuilder, node: Node) -> bool:
    """Whether a node packs deferred signs itself; not if others of its inputs are repeated."""
    is_noisy = [name in builder.noise_dependent for name in node.inputs if name in builder.values]
    is_mixed = any(is_noisy) and not all(is_noisy)
    if node.kind == "DequantizeLinear":
        return dequantizes_signs(builder, node)
    return node.kind in _PACKS_MOVED_SIGNS and not is_mixed


def _reads_maps(node: Node) -> bool:
    is_own = "." in node.kind and node.kind not in _READS_ANY_LAYOUT
    return is_own or node.kind in _READS_MAPS


def _as_map(builder: PlanBuilder, node: Node, name: str) -> str:
    """Return a value (C, H, W) in the layout of maps, copied if it has channels last."""
    value = builder.values.get(name)
    if value is None or value.kind not in ("real", "sums") or value.layout != "channels last":
        return name
    target = f"{name}/map"
    if len(value.shape) != 3:
        return name
    if target not in builder.values:
        copy = CopyReal(name=node.name, source=name, target=target)
        builder.add(copy, Value(kind=value.kind, shape=value.shape, dtype=value.dtype))
        if name in builder.noise_dependent:
            builder.noise_dependent.add(target)
    return target
