"""Lowers comparisons and Where."""

from typing import Final

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic
from bnnkit.export.tflite.operands import operands, result_like
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.tflite.schema import Builtin, TensorType

COMPARISONS: Final = {
    "Equal": Builtin.EQUAL,
    "Greater": Builtin.GREATER,
    "GreaterOrEqual": Builtin.GREATER_EQUAL,
    "Less": Builtin.LESS,
    "LessOrEqual": Builtin.LESS_EQUAL,
}


def compare(builder: TfliteBuilder, node: Node) -> None:
    """Lower a comparison of two real values, or of a value and a constant."""
    constants = [builder.source.constants.get(name) for name in node.inputs]
    if any(c is not None and c.dtype == np.bool_ for c in constants):
        raise UnsupportedError("expected real numbers to compare, got bools")
    (left, right), like = operands(builder, node, "real", "real")
    shape = arithmetic.broadcast_shape(builder, left, right)
    tensor = builder.emit(COMPARISONS[node.kind], [left, right], shape, kind=TensorType.BOOL)
    builder.give(node.output, result_like(builder, like, tensor, "bool"))


def where(builder: TfliteBuilder, node: Node) -> None:
    """Lower Where to SELECT_V2 of real numbers."""
    tensors, like = operands(builder, node, "bool", "real", "real")
    shape = arithmetic.broadcast_shape(builder, *tensors)
    tensor = builder.emit(Builtin.SELECT_V2, tensors, shape)
    builder.give(node.output, result_like(builder, like, tensor))
