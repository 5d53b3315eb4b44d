"""Values that only matrix products of two computed operands read, each with two values."""

from typing import Final

import onnx_ir as ir

from bnnkit.artifact.operators.facts import KEEPS_ELEMENTS
from bnnkit.export.from_onnx.two_valued import two_valued
from bnnkit.export.ir.graph import array
from bnnkit.export.passes.two_valued_operands import LINES

_MOST_MOVES: Final = 16


def feeds_binary_products(value: ir.Value, position: dict[ir.Node, int]) -> bool:
    """Whether only products with another computed value of two numbers read a value.

    Args:
        value: The value; changes of shape may follow it.
        position: The position of each node in the graph.
    """
    uses = list(value.uses())
    if not uses or value.is_graph_output():
        return False
    for use in uses:
        node = use.node
        if node.domain != "":
            return False
        if node.op_type == "MatMul":
            if not _is_two_valued(node.inputs[1 - use.idx], position):
                return False
        elif node.op_type not in KEEPS_ELEMENTS or not feeds_binary_products(
            node.outputs[0], position
        ):
            return False
    return True


def _is_two_valued(value: ir.Value | None, position: dict[ir.Node, int]) -> bool:
    """Whether a computed value, before changes of shape, is a mark of a sign or becomes one."""
    for _ in range(_MOST_MOVES):
        node = None if value is None else value.producer()
        if value is None or node is None:
            return False
        if node.domain == "" and node.op_type in KEEPS_ELEMENTS:
            value = node.inputs[0]
        else:
            break
    return value is not None and (_is_marked(value) or _becomes_sign(value, position))


def _is_marked(value: ir.Value | None) -> bool:
    """Whether a value is a mark of a sign, put through operators with constants."""
    for _ in range(_MOST_MOVES):
        node = None if value is None else value.producer()
        if node is None or node.domain != "" or node.op_type not in LINES:
            return node is not None and node.op_type == "Sign" and node.domain != ""
        computed = [x for x in node.inputs if array(x) is None]
        if len(computed) != 1:
            return False
        value = computed[0]
    return False


def _becomes_sign(value: ir.Value, position: dict[ir.Node, int]) -> bool:
    """Whether a value that is not marked yet has two numbers."""
    node = value.producer()
    is_known = node is not None and node in position
    return (
        is_known and value.dtype == ir.DataType.FLOAT and two_valued(value, position) is not None
    )
