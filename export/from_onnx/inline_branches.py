"""Replaces an `If` with a constant condition by the branch that is taken.

1. The nodes and constants of the branch move into the graph, under new names.
"""

import onnx_ir as ir

from bnnkit.errors import UnsupportedError
from bnnkit.export.from_onnx.batch_constants import BatchConstants
from bnnkit.export.from_onnx.node_names import named
from bnnkit.export.ir.graph import add_constant, array, nodes, operand


def inline_branches(graph: ir.Graph, batch: BatchConstants) -> bool:
    """Run the pass, also for an `If` within an `If`; returns whether there was any.

    Raises:
        UnsupportedError: A condition depends on the batch size.
    """
    found = [node for node in nodes(graph, "If") if array(node.inputs[0]) is not None]
    for node in found:
        condition = array(node.inputs[0])
        if batch.decides(operand(node, 0)):
            raise UnsupportedError(
                f"{named(node)} chooses a branch by the number of images in the batch: export the"
                " network without that choice, or with a fixed batch size"
            )
        name = "then_branch" if condition is not None and condition.any() else "else_branch"
        _take(graph, node, node.attributes[name].as_graph())
    return bool(found) and (inline_branches(graph, batch) or True)


def _take(graph: ir.Graph, node: ir.Node, branch: ir.Graph) -> None:
    """Rule 1."""
    for value in list(branch.initializers.values()):
        content = array(value)
        assert content is not None  # an initializer has one
        moved = add_constant(graph, f"{node.outputs[0].name}/{value.name}", content)
        value.replace_all_uses_with(moved, replace_graph_outputs=True)
    results = list(branch.outputs)
    branch.outputs.clear()
    for inner in list(branch):
        branch.remove(inner)
        for index, value in enumerate(inner.outputs):
            value.name = f"{node.outputs[0].name}/{value.name or index}"
        graph.insert_before(node, inner)
    for value, result in zip(node.outputs, results, strict=True):
        value.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
