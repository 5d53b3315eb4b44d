"""Matrix products of signs with signs become bnnkit's operator.

1. `MatMul` of signs (N, T, K) and (N, K, S), or (N, A, T, K) and (N, A, K, S), as in attention
   with binary queries and keys, becomes `bnnkit.BinaryMatMul` and `Cast` to float32.
"""

from typing import Final

import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.export.ir.graph import cast_to_real, new_node, nodes, rank, replace
from bnnkit.export.passes.lower_signs import dequantized

_RANKS: Final = (3, 4)


def lower_binary_products(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in nodes(graph, "MatMul"):
        x, y = (dequantized(value) for value in node.inputs)
        if x is None or y is None or rank(x) != rank(y) or rank(x) not in _RANKS:
            continue
        if x.shape is None or y.shape is None or tuple(x.shape[:-2]) != tuple(y.shape[:-2]):
            continue  # one operand is broadcast
        product = new_node(
            "BinaryMatMul",
            [x, y],
            source=node,
            dtype=ir.DataType.INT32,
            shape=node.outputs[0].shape,
            domain=DOMAIN,
        )
        replace(graph, node, [product, cast_to_real(product.outputs[0], node)])
