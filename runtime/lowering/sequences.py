"""Lowering of convolutions of sequences (N, C, L) as convolutions of maps of height 1."""

from dataclasses import replace

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.artifact.standard.sequences import of_height_one
from bnnkit.runtime.lowering.float_layers import lower_real_layer
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import Value
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
    channels, length = builder.values[x].shape
    _change_height(builder, node, "Unsqueeze", (x, source), (channels, 1, length))
    lifted = replace(
        node,
        inputs=(source, lifted_weight, *node.inputs[2:]),
        outputs=(target,),
        attributes=of_height_one(node.attributes),
    )
    lower_real_layer(builder, lifted)
    channels, _, length = builder.values[target].shape
    _change_height(builder, node, "Squeeze", (target, node.outputs[0]), (channels, length))
    return True


def _change_height(
    builder: PlanBuilder, node: Node, kind: str, names: tuple[str, str], shape: tuple[int, ...]
) -> None:
    """Append the step that adds or removes the height."""
    source, target = names
    step = NumpyOperator(
        name=node.name,
        sources=(source, np.array([2])),
        target=target,
        function=STANDARD_OPERATORS[kind],
        attributes={},
    )
    builder.add(step, Value(kind="real", shape=shape))
