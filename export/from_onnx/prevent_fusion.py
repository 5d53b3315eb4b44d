"""Prevents ONNX Runtime from fusing a scale and a shift into a real-valued convolution.

1. The constant operand of a `Mul` or an `Add` after a `Conv` becomes the first operand. ONNX
   Runtime's fusion looks for the constant in the second place only.

Fused into the weights, the scale would be rounded differently from the source. If the input has
few bits and the weights are binary, as in the first layer of Brevitas' CNV, the sums are exact,
and a batch norm can be exactly 0 for one of them.
"""

import onnx_ir as ir

from bnnkit.export.ir.graph import array, nodes, produced_by


def prevent_fusion(graph: ir.Graph) -> None:
    """Run the pass."""
    apart: set[ir.Value] = set()
    for node in nodes(graph, "Mul", "Add"):
        x, other = node.inputs
        if x is not None and (produced_by(x, "Conv") or x in apart) and array(other) is not None:
            node.replace_input_with(0, other)
            node.replace_input_with(1, x)
            apart.add(node.outputs[0])
