"""What the other passes leave behind goes.

1. Nodes without an effect on the outputs go, then initializers without a use.
2. A `Reshape` of (N, A, B, ...) to (N, A * B * ...) becomes `Flatten`, which needs no constant.
"""

import numpy as np
import onnx_ir as ir

from bnnkit.export.graph import array, new_node, nodes, rank, replace


def clean_up(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in nodes(graph, "Reshape"):
        if _flattens(node):
            x, y = node.inputs[0], node.outputs[0]
            assert x is not None and x.dtype is not None
            attributes = {"axis": 1}
            flatten = new_node(
                "Flatten", [x], source=node, dtype=x.dtype, shape=y.shape, attributes=attributes
            )
            replace(graph, node, [flatten])  # rule 2
    remove_dead(graph)


def remove_dead(graph: ir.Graph) -> None:
    """Rule 1."""
    for node in reversed(list(graph)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output() and not value.is_graph_input():
            del graph.initializers[name]


def _flattens(node: ir.Node) -> bool:
    x, shape = node.inputs[0], array(node.inputs[1])
    if x is None or x.shape is None or shape is None or shape.shape != (2,) or rank(x) < 2:
        return False
    features = [size for size in x.shape[1:] if isinstance(size, int)]
    # The exporter writes the free batch axis as -1.
    return len(features) == rank(x) - 1 and tuple(shape) == (-1, np.prod(features, dtype=np.int64))
