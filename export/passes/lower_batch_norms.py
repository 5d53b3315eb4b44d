"""Remaining batch norms become `Mul` and `Add`, so that every engine rounds them alike.

1. `BatchNormalization(x)` becomes `Mul(x, alpha)` and `Add(., beta)`, with the alpha and beta of
   torch's own kernel, one number for each channel.

On processors with fused multiply-adds torch rounds alpha * x + beta once; `Mul` and `Add` round
twice.
"""

import onnx_ir as ir

from bnnkit.export.analysis.torch_batch_norm import Parameters, parameters_of, scale_and_shift
from bnnkit.export.ir.graph import (
    add_constant,
    channel_column,
    new_node,
    nodes,
    operand,
    parameter_name,
    replace,
)


def lower_batch_norms(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: A batch norm has a parameter that is NaN or infinite, has a scale that
            overflows, or uses the statistics of the batch.
    """
    for node in nodes(graph, "BatchNormalization"):
        parameters = parameters_of(node)
        if parameters is not None:
            _lower(graph, node, parameters)


def _lower(graph: ir.Graph, node: ir.Node, parameters: Parameters) -> None:
    x, shape = operand(node, 0), node.outputs[0].shape
    alpha, beta = scale_and_shift(node, parameters)
    scale = add_constant(graph, parameter_name(node, "alpha"), channel_column(alpha, x))
    shift = add_constant(graph, parameter_name(node, "beta"), channel_column(beta, x))
    real = ir.DataType.FLOAT
    product = new_node("Mul", [x, scale], source=node, dtype=real, shape=shape)
    total = new_node("Add", [product.outputs[0], shift], source=node, dtype=real, shape=shape)
    replace(graph, node, [product, total])
