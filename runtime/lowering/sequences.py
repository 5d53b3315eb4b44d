"""Lowering of convolutions of sequences (N, C, L) as convolutions of maps of height 1."""

from dataclasses import replace
from typing import Any

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard.elementwise import Attributes
from bnnkit.runtime.lowering.float_layers import lower_real_layer
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import Array, Value
from bnnkit.runtime.steps.real import NumpyOperator


def lower_sequence_layer(builder: PlanBuilder, node: Node) -> bool:
    """Lower a Conv of sequences with constant weights (O, I/G, K).

    Returns:
        Whether the node is one.
    """
    weight = builder.constants.get(node.inputs[1]) if node.kind == "Conv" else None
    x = node.inputs[0]
    if weight is None or weight.ndim != 3 or x not in builder.values:
        return False
    source, target = f"{node.name}/map", f"{node.name}/sums"
    lifted_weight = f"{node.name}/weight"
    builder.constants[lifted_weight] = weight[:, :, None]
    _reshape(builder, node, _with_height, (x, source))
    lifted = replace(
        node,
        inputs=(source, lifted_weight, *node.inputs[2:]),
        outputs=(target,),
        attributes=_of_maps(node.attributes),
    )
    lower_real_layer(builder, lifted)
    _reshape(builder, node, _without_height, (target, node.outputs[0]))
    return True


def _reshape(builder: PlanBuilder, node: Node, function: Any, names: tuple[str, str]) -> None:
    source, target = names
    channels, *sizes = builder.values[source].shape
    shape = (channels, 1, *sizes) if function is _with_height else (channels, *sizes[1:])
    step = NumpyOperator(
        name=node.name, sources=(source,), target=target, function=function, attributes={}
    )
    builder.add(step, Value(kind="real", shape=shape))


def _with_height(attributes: Attributes, x: Array) -> Array:
    return x[:, :, None]


def _without_height(attributes: Attributes, x: Array) -> Array:
    return x[:, :, 0]


def _of_maps(attributes: Attributes) -> dict[str, Any]:
    """Return the attributes of the convolution of maps."""
    lifted = dict(attributes)
    for name in ("kernel_shape", "strides", "dilations"):
        if name in lifted:
            lifted[name] = (1, *lifted[name])
    if "pads" in lifted:
        before, after = lifted["pads"]
        lifted["pads"] = (0, before, 0, after)
    return lifted
