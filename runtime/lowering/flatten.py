"""Lowering of the flattening of maps of one pixel, between a global pooling and a dense layer."""

from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.lowering.signs import flattens
from bnnkit.runtime.memory.values import FLOAT, Value
from bnnkit.runtime.steps.real import PlaceReals


def lower_flatten(builder: PlanBuilder, node: Node) -> bool:
    """Lower a Flatten or Reshape of reals (N, C, 1, 1) to (N, C) to a copy by a kernel.

    Returns:
        Whether the node is one.
    """
    if node.kind not in ("Flatten", "Reshape") or not builder.forms.fuses:
        return False
    value = builder.values.get(node.inputs[0])
    if value is None or value.kind != "real" or value.dtype != FLOAT:
        return False
    if value.shape[1:] != (1, 1) or value.layout != "onnx" or not flattens(builder, node):
        return False
    target, shape = node.outputs[0], value.shape[:1]
    step = PlaceReals(name=node.name, source=node.inputs[0], target=target, first_channel=0)
    builder.add(step, Value(kind="real", shape=shape))
    return True
