"""Values of which each is one of two numbers, found in the graph.

1. `Where(b, p, q)` with numbers p and q, and `Cast(b)` to float32 (p = 1, q = 0), b comparing a
   float32 x with constants (`comparisons.py`), are p or q.
2. ONNX's own `Sign` gives 0 for 0. Where the graph makes a sign of that 0,
   `Sign(Add(Sign(x), c))` with 0 < |c| < 1 or `Where(Equal(x, 0), c, Sign(x))` with c = +-1, it is
   x >= 0 for a positive c and x > 0 for a negative one.
3. Additions, subtractions, multiplications and divisions with a number change p and q, as float32.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.convert.comparisons import (
    Comparison,
    at_least,
    comparison,
    is_equality_with_zero,
)
from bnnkit.export.graph import array, only_consumer, operand, produced_by

_ARITHMETIC: Final[dict[str, np.ufunc]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


@dataclass(frozen=True)
class TwoValued:
    """A value that is one of two numbers everywhere.

    Attributes:
        value: It.
        condition: Where it is the first of the two.
        yes: The first number.
        no: The second.
    """

    value: ir.Value
    condition: Comparison
    yes: np.float32
    no: np.float32


def opposite_numbers(node: ir.Node) -> TwoValued | None:
    """What a node begins and arithmetic goes on with: the last value with `no` = -`yes`.

    None where there is none.
    """
    start = _choice(node) or _sign_of_shifted_sign(node)
    if start is None or start.condition.x.dtype != ir.DataType.FLOAT:
        return None
    opposite = [link for link in _chain(start) if link.no == -link.yes and link.yes != 0]
    return opposite[-1] if opposite else None


def _choice(node: ir.Node) -> TwoValued | None:
    if node.domain != "" or node.op_type not in ("Where", "Cast"):
        return None
    y = node.outputs[0]
    if node.op_type == "Cast":
        return _cast(node)
    signs = produced_by(node.inputs[2], "Sign")
    yes, no = _number(node.inputs[1]), _number(node.inputs[2])
    if signs is not None and yes in (1, -1):
        return _chosen_zero(node, signs, yes)
    condition = comparison(node.inputs[0])
    if condition is None or yes is None or no is None:
        return None
    return TwoValued(y, condition, yes, no)


def _cast(node: ir.Node) -> TwoValued | None:
    condition = comparison(node.inputs[0])
    if condition is None or node.attributes["to"].as_int() != ir.DataType.FLOAT:
        return None
    return TwoValued(node.outputs[0], condition, np.float32(1), np.float32(0))


def _chosen_zero(node: ir.Node, signs: ir.Node, at_zero: np.float32) -> TwoValued | None:
    x = operand(signs, 0)
    if not is_equality_with_zero(node.inputs[0], x):
        return None
    return of_sign(node.outputs[0], x, at_zero)


def _sign_of_shifted_sign(node: ir.Node) -> TwoValued | None:
    is_sign = (node.domain, node.op_type) == ("", "Sign")
    shifted = produced_by(node.inputs[0], "Add") if is_sign else None
    if shifted is None:
        return None
    for inner, shift in (shifted.inputs, reversed(shifted.inputs)):
        signs, number = produced_by(inner, "Sign"), _number(shift)
        if signs is not None and number is not None and 0 < abs(number) < 1:
            return of_sign(node.outputs[0], operand(signs, 0), number)
    return None


def of_sign(value: ir.Value, x: ir.Value, at_zero: np.float32) -> TwoValued:
    """The sign of x that is as `at_zero` for 0."""
    weak = at_least(x, 0)
    return TwoValued(value, weak if at_zero > 0 else weak.strict(), np.float32(1), np.float32(-1))


def _chain(start: TwoValued) -> Iterator[TwoValued]:
    """A value of two numbers, and what arithmetic with numbers makes of it."""
    link: TwoValued | None = start
    while link is not None:
        yield link
        link = _next(link)


def _next(link: TwoValued) -> TwoValued | None:
    node = only_consumer(link.value)
    if node is None or node.domain != "" or node.op_type not in _ARITHMETIC:
        return None
    is_left = node.inputs[0] is link.value
    number = _number(node.inputs[1 if is_left else 0])
    if number is None:
        return None
    apply = _ARITHMETIC[node.op_type]
    pairs = [(v, number) if is_left else (number, v) for v in (link.yes, link.no)]
    with np.errstate(all="ignore"):  # a division by 0 gives no sign
        yes, no = (np.float32(apply(*pair)) for pair in pairs)
    return TwoValued(node.outputs[0], link.condition, yes, no)


def _number(value: ir.Value | None) -> np.float32 | None:
    """The content of a constant that is one float32 number."""
    content: NDArray[Any] | None = array(value)
    if content is None or content.size != 1 or content.dtype != np.float32:
        return None
    return np.float32(content.item())
