"""Batch norms become the `Mul` and `Add` that ONNX Runtime computes for them.

1. `BatchNormalization(x)` becomes `Mul(x, alpha)` and `Add(., beta)`, one number for each channel:
   alpha = scale * (1 / sqrt(variance + epsilon)) and beta = bias - mean * alpha, each operation
   rounded to float32.

The artifact must compute the source's graph in float32 as ONNX Runtime does, which rounds twice.
(Torch rounds once on processors with fused multiply-adds, see
`export/analysis/torch_batch_norm.py`.) The later passes then see only elementwise operators, for
which every engine gives the same bits.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.analysis.torch_batch_norm import parameters_of
from bnnkit.export.from_onnx.node_names import named
from bnnkit.export.ir.graph import (
    add_constant,
    channel_column,
    label,
    new_node,
    nodes,
    operand,
    parameter_name,
    replace,
)


def check_inference(graph: ir.Graph) -> None:
    """Check that no batch norm uses the statistics of the batch.

    Raises:
        UnsupportedError: A batch norm does.
    """
    for node in nodes(graph, "BatchNormalization"):
        if node.attributes.get_int("training_mode", 0) != 0:
            raise UnsupportedError(
                f"expected {named(node)} in inference mode, got one in training: call model.eval()"
                " before the export"
            )


def split_batch_norms(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: A batch norm has a parameter that is computed, NaN or infinite, or a
            scale that overflows.
    """
    for node in nodes(graph, "BatchNormalization"):
        alpha, beta = scale_and_shift(node)
        x, shape, real = operand(node, 0), node.outputs[0].shape, ir.DataType.FLOAT
        scale = add_constant(graph, parameter_name(node, "alpha"), channel_column(alpha, x))
        shift = add_constant(graph, parameter_name(node, "beta"), channel_column(beta, x))
        product = new_node("Mul", [x, scale], source=node, dtype=real, shape=shape)
        total = new_node("Add", [product.outputs[0], shift], source=node, dtype=real, shape=shape)
        replace(graph, node, [product, total])


def scale_and_shift(node: ir.Node) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The alpha and beta that ONNX Runtime's kernel uses, float32 (C,).

    Raises:
        UnsupportedError: As `split_batch_norms`.
    """
    parameters = parameters_of(node)
    if parameters is None:
        raise UnsupportedError(f"expected {label(node)} with constant float32 parameters")
    scale, bias, mean, variance = (parameter.numpy() for parameter in parameters)
    epsilon = np.float32(node.attributes.get_float("epsilon", 1e-5))
    with np.errstate(all="ignore"):  # what is not finite is refused below
        alpha = scale * (np.float32(1) / np.sqrt(variance + epsilon))
        beta = bias - mean * alpha
    if not (np.isfinite(alpha).all() and np.isfinite(beta).all()):
        raise UnsupportedError(
            f"the scale of {label(node)} is not finite: a variance is 0 and its epsilon too small"
        )
    return alpha, beta
