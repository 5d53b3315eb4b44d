"""Removes what the other passes leave behind.

1. Nodes without an effect on the outputs are removed, then initializers without a use.
2. A `Reshape` of (N, A, B, ...) to (N, A * B * ...) becomes `Flatten`, which needs no constant.
"""

from math import prod

import onnx_ir as ir

from bnnkit.export.ir.graph import array, new_node, nodes, operand, replace


def clean_up(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in nodes(graph, "Reshape"):
        x, y = operand(node, 0), node.outputs[0]
        if x.dtype is not None and _flattens(node):  # rule 2
            axis = {"axis": 1}
            flatten = new_node(
                "Flatten", [x], source=node, dtype=x.dtype, shape=y.shape, attributes=axis
            )
            replace(graph, node, [flatten])
    remove_dead(graph)


def remove_dead(graph: ir.Graph) -> None:
    """Rule 1.

    onnx_ir's `RemoveUnusedNodesPass` also drops unused optional outputs and trailing empty inputs,
    so artifacts of other tools' files would change.
    """
    for node in reversed(list(graph)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
            del graph.initializers[name]


def _flattens(node: ir.Node) -> bool:
    x, shape = operand(node, 0), array(operand(node, 1))
    if x.shape is None or shape is None:
        return False
    features = [size for size in x.shape[1:] if isinstance(size, int)]
    is_known = len(features) == len(x.shape) - 1
    # The exporter writes the free batch axis as -1.
    return is_known and shape.tolist() == [-1, prod(features)]
