"""Lowering of DequantizeLinear of moved signs: real numbers of the signs as they lie, then moved.

Kernels move real numbers between tokens and heads; NumPy would move unpacked signs.
"""

from dataclasses import replace

from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.lowering.heads import lower_heads
from bnnkit.runtime.lowering.numpy_operator import lower_to_numpy
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.lowering.signs import dequantizes_signs
from bnnkit.runtime.lowering.views import lower_view
from bnnkit.runtime.steps.signs import UnpackSigns


def lower_moved_reals(builder: PlanBuilder, node: Node) -> bool:
    """Lower a DequantizeLinear of signs whose moves are deferred.

    Returns:
        Whether the node is one.
    """
    moved = builder.moved.get(node.inputs[0]) if node.inputs else None
    if moved is None or node.kind != "DequantizeLinear" or not dequantizes_signs(builder, node):
        return False
    (target,) = node.outputs
    names = [f"{target}/{place}" for place in range(len(moved.nodes))] + [target]
    unpack = UnpackSigns(name=node.name, source=moved.source, target=names[0])
    builder.add(unpack, builder.values[moved.source].alike())
    for move, x, y in zip(moved.nodes, names, names[1:], strict=False):
        real = replace(move, inputs=(x, *move.inputs[1:]), outputs=(y,))
        if not (lower_view(builder, real) or lower_heads(builder, real)):
            lower_to_numpy(builder, real)
    return True
