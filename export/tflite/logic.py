"""Lowers logic of bools, and Equal."""

from typing import Final

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic
from bnnkit.export.tflite.operands import operands, result_like
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.tflite.schema import Builtin, TensorType

LOGIC: Final = {"And": Builtin.LOGICAL_AND, "Or": Builtin.LOGICAL_OR}


def logic(builder: TfliteBuilder, node: Node) -> None:
    """Lower And and Or of bools."""
    (left, right), like = operands(builder, node, "bool", "bool")
    shape = arithmetic.broadcast_shape(builder, left, right)
    tensor = builder.emit(LOGIC[node.kind], [left, right], shape, kind=TensorType.BOOL)
    builder.give(node.output, result_like(builder, like, tensor, "bool"))


def negation(builder: TfliteBuilder, node: Node) -> None:
    """Lower Not."""
    (tensor,), like = operands(builder, node, "bool")
    shape = builder.shape(tensor)
    result = builder.emit(Builtin.LOGICAL_NOT, [tensor], shape, kind=TensorType.BOOL)
    builder.give(node.output, result_like(builder, like, result, "bool"))


def equal(builder: TfliteBuilder, node: Node) -> None:
    """Lower Equal of real numbers."""
    constants = [builder.source.constants.get(name) for name in node.inputs]
    if any(c is not None and c.dtype == np.bool_ for c in constants):
        raise UnsupportedError("expected real numbers to compare, got bools")
    (left, right), like = operands(builder, node, "real", "real")
    shape = arithmetic.broadcast_shape(builder, left, right)
    tensor = builder.emit(Builtin.EQUAL, [left, right], shape, kind=TensorType.BOOL)
    builder.give(node.output, result_like(builder, like, tensor, "bool"))
