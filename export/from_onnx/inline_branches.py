"""Replaces an `If` with a constant condition by the branch that is taken.

1. The nodes and constants of the branch move into the graph, under new names.
"""

import onnx_ir as ir

from bnnkit.export.ir.graph import add_constant, array, nodes


def inline_branches(graph: ir.Graph) -> bool:
    """Run the pass, also for an `If` within an `If`; returns whether there was any."""
    found = [node for node in nodes(graph, "If") if array(node.inputs[0]) is not None]
    for node in found:
        condition = array(node.inputs[0])
        name = "then_branch" if condition is not None and condition.any() else "else_branch"
        _take(graph, node, node.attributes[name].as_graph())
    return bool(found) and (inline_branches(graph) or True)


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
