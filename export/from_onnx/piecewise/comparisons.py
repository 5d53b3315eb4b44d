"""Comparisons of a real value with constants, in one of two forms: x >= t or x <= t.

The strict comparison x > t is x >= t', where t' is the next float32 above t; x < t likewise. This
is exact for every float32 x except NaN.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.ir.graph import array, operand

_INFINITY: Final = np.float32(np.inf)


@dataclass(frozen=True)
class Comparison:
    """A comparison of a real value with constants.

    Attributes:
        x: The real value.
        limit: t, float32, in a shape that broadcasts to x.
        is_lower: Whether the comparison is x >= t; else it is x <= t.
    """

    x: ir.Value
    limit: NDArray[np.float32]
    is_lower: bool

    def negated(self) -> "Comparison":
        """The negation: not x >= t is x <= t', where t' is the next float32 below t."""
        away = -_INFINITY if self.is_lower else _INFINITY
        return replace(self, limit=np.nextafter(self.limit, away), is_lower=not self.is_lower)

    def strict(self) -> "Comparison":
        """The strict comparison: x > t for x >= t, x < t for x <= t."""
        toward = _INFINITY if self.is_lower else -_INFINITY
        return replace(self, limit=np.nextafter(self.limit, toward))


def at_least(x: ir.Value, limit: float) -> Comparison:
    """The comparison x >= limit."""
    return Comparison(x, np.array(limit, np.float32), is_lower=True)


def comparison(value: ir.Value | None) -> Comparison | None:
    """The comparison that gives a boolean value; None unless it is with float32 constants."""
    node = value.producer() if value is not None else None
    if node is None or node.domain != "":
        return None
    if node.op_type == "Not":
        found = comparison(operand(node, 0))
        return None if found is None else found.negated()
    if node.op_type not in _FORMS:
        return None
    is_lower, is_strict = _FORMS[node.op_type]
    left, right = operand(node, 0), operand(node, 1)
    if array(left) is not None:  # t >= x is x <= t
        left, right, is_lower = right, left, not is_lower
    limit = array(right)
    if limit is None or limit.dtype != np.float32 or array(left) is not None:
        return None
    found = Comparison(left, limit, is_lower)
    return found.strict() if is_strict else found


_FORMS: Final = {
    "GreaterOrEqual": (True, False),
    "Greater": (True, True),
    "LessOrEqual": (False, False),
    "Less": (False, True),
}
"""By operator: whether the constant is a lower limit, and whether the comparison is strict."""
COMPARISONS: Final = frozenset(_FORMS)
"""The operators that compare by size."""
