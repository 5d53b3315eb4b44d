"""Lowering of LayerNormalization over the last axis to a kernel."""

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import FLOAT, Array
from bnnkit.runtime.steps.layer_norm import LayerNorm


def lower_layer_norm(builder: PlanBuilder, node: Node) -> bool:
    """Lower a LayerNormalization of float32 with constant scale and bias.

    Returns:
        Whether the kernel supports this form of the operator.
    """
    if node.kind != "LayerNormalization" or any(node.outputs[1:]) or not builder.forms.fuses:
        return False
    value = builder.values.get(node.inputs[0])
    if value is None or value.kind != "real" or value.dtype != FLOAT:
        return False
    is_last = node.attributes.get("axis", -1) in (-1, len(value.shape))
    if not is_last or value.layout != "channels last":
        return False
    channels = value.shape[-1]
    scale = _per_channel(builder, node.inputs[1], channels)
    has_bias = len(node.inputs) > 2 and node.inputs[2]
    bias = _per_channel(builder, node.inputs[2], channels) if has_bias else np.zeros(channels)
    if scale is None or bias is None:
        return False
    step = LayerNorm(
        name=node.name,
        source=node.inputs[0],
        target=node.outputs[0],
        scale=scale,
        bias=bias.astype(FLOAT),
        epsilon=float(node.attributes.get("epsilon", 1e-5)),
    )
    builder.add(step, value.alike())
    return True


def _per_channel(builder: PlanBuilder, name: str, channels: int) -> Array | None:
    """Return an operand as float32 (C,), or None if it is computed or has another form."""
    number = builder.constants.get(name)
    if number is None or number.dtype != FLOAT or number.size not in (1, channels):
        return None
    return np.ascontiguousarray(np.broadcast_to(number.reshape(-1), (channels,)))
