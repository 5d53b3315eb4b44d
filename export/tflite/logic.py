"""Lowers logic of bools."""

from typing import Final

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
