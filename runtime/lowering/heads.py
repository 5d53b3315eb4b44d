"""Lowering of real values between tokens and heads, (T, A, C) and (A, T, C), to copies of rows."""

from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import FLOAT, Value
from bnnkit.runtime.steps.real import SwapRows

_SWAP = (0, 2, 1, 3)


def lower_heads(builder: PlanBuilder, node: Node) -> bool:
    """Lower a Transpose that swaps the two axes between the batch and the channels.

    Returns:
        Whether the node is one.
    """
    if node.kind != "Transpose" or tuple(node.attributes.get("perm", ())) != _SWAP:
        return False
    value = builder.values.get(node.inputs[0])
    if value is None or value.kind != "real" or value.dtype != FLOAT:
        return False
    if value.layout != "channels last" or not builder.forms.fuses:
        return False
    outer, inner, channels = value.shape
    step = SwapRows(name=node.name, source=node.inputs[0], target=node.outputs[0])
    shape = (inner, outer, channels)
    # The kernel copies single numbers behind the last whole vector.
    builder.add(step, Value(kind="real", shape=shape, layout="channels last", is_tight=True))
    return True
