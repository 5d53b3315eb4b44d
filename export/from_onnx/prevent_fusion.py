"""A scale and a shift behind a real-valued convolution stay operations of their own.

1. A constant operand of a `Mul` or an `Add` of what a `Conv` gives becomes the first operand.

ONNX Runtime would multiply the scale into the weights, and round otherwise than the source: where
the input is of few bits and the weights are binary, as in the first layer of Brevitas' CNV, the
sums are exact and a batch norm can be exactly 0 for one of them. It looks for the constant in the
second place, so it does not find one in the first.
"""

import onnx_ir as ir

from bnnkit.export.graph import array, nodes, produced_by


def prevent_fusion(graph: ir.Graph) -> None:
    """Run the pass."""
    apart: set[ir.Value] = set()
    for node in nodes(graph, "Mul", "Add"):
        x, other = node.inputs
        if x is not None and (produced_by(x, "Conv") or x in apart) and array(other) is not None:
            node.replace_input_with(0, other)
            node.replace_input_with(1, x)
            apart.add(node.outputs[0])
