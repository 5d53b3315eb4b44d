"""Comparisons, and Where."""

from typing import Final

from bnnkit.export.tflite import arithmetic
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.operands import operands, spread
from bnnkit.export.tflite.source import Node
from bnnkit.tflite import options
from bnnkit.tflite.options import Options
from bnnkit.tflite.schema import Builtin, TensorType

COMPARISONS: Final[dict[str, tuple[Builtin, Options]]] = {
    "Greater": (Builtin.GREATER, options.GREATER),
    "GreaterOrEqual": (Builtin.GREATER_EQUAL, options.GREATER_EQUAL),
    "Less": (Builtin.LESS, options.LESS),
    "LessOrEqual": (Builtin.LESS_EQUAL, options.LESS_EQUAL),
}


def compare(draft: Draft, node: Node) -> None:
    """GREATER and others, of two real values, or of a value and a constant."""
    (left, right), like = operands(draft, node, "real", "real")
    code, chosen = COMPARISONS[node.kind]
    shape = arithmetic.spread_shape(draft, left, right)
    tensor = draft.emit(code, [left, right], shape, kind=TensorType.BOOL, options=chosen)
    draft.give(node.output, spread(draft, like, tensor, "truth"))


def where(draft: Draft, node: Node) -> None:
    """SELECT_V2 between real numbers."""
    tensors, like = operands(draft, node, "truth", "real", "real")
    shape = arithmetic.spread_shape(draft, *tensors)
    tensor = draft.emit(Builtin.SELECT_V2, tensors, shape, options=options.SELECT_V2)
    draft.give(node.output, spread(draft, like, tensor))
