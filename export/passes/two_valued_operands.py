"""Operands of matrix products that have two values: signs that a line maps to other numbers."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from bnnkit.export.ir.graph import (
    add_constant,
    array,
    parameter_name,
    rank,
    real_node,
    shared_constant,
)
from bnnkit.export.passes.lower_signs import dequantize, dequantized

LINES: Final = {"Add", "Sub", "Mul", "Div", "Neg"}


@dataclass(frozen=True)
class TwoValued:
    """The value scale * signs + shift, for signs -1 and +1."""

    signs: ir.Value
    scale: float
    shift: float


def two_valued(value: ir.Value | None) -> TwoValued | None:
    """Return signs and the line that scalar constants put them through; None for others."""
    line: list[tuple[str, float | None, float | None]] = []
    while (signs := dequantized(value)) is None:
        node = None if value is None else value.producer()
        if node is None or node.domain != "" or node.op_type not in LINES:
            return None
        numbers = [_number(operand) for operand in node.inputs]
        first, second = [-1.0, None] if node.op_type == "Neg" else numbers
        if (first is None) == (second is None):
            return None
        line.append((node.op_type, first, second))
        value = node.inputs[-1 if second is None else 0]
    x: TwoValued | None = TwoValued(signs, 1.0, 0.0)
    for op_type, first, second in reversed(line):
        x = None if x is None else _through(op_type, x, first, second)
    return x


def _through(
    op_type: str, x: TwoValued, first: float | None, second: float | None
) -> TwoValued | None:
    """Return x after an operator, of which one operand is a number."""
    number = second if first is None else first
    assert number is not None
    if op_type == "Add":
        return TwoValued(x.signs, x.scale, x.shift + number)
    if op_type == "Sub":
        turn = 1 if first is None else -1
        return TwoValued(x.signs, turn * x.scale, turn * (x.shift - number))
    if op_type in ("Mul", "Neg"):
        return TwoValued(x.signs, x.scale * number, x.shift * number)
    if first is not None or number == 0:
        return None
    return TwoValued(x.signs, x.scale / number, x.shift / number)


def _number(value: ir.Value | None) -> float | None:
    """Return a constant of one finite number; None for other values."""
    content = array(value)
    if content is None or content.size != 1:
        return None
    number = float(content.reshape(()))
    return number if np.isfinite(number) else None


def of_product(
    graph: ir.Graph, source: ir.Node, product: list[ir.Node], x: TwoValued, y: TwoValued
) -> list[ir.Node]:
    """Return the nodes that compute x @ y.

    With x = a s + b and y = c t + d it is a c (s @ t) + b c (1 @ t) + a d (s @ 1) + b d K, where
    1 @ t are the sums of the columns of t.

    Args:
        graph: The graph that gets constants.
        source: The node that they replace.
        product: The nodes that compute s @ t, real.
        x: The left operand.
        y: The right operand.
    """
    terms = _Terms(graph, source, product)
    terms.scale(x.scale * y.scale)
    terms.add(y.signs, -2, x.shift * y.scale)
    terms.add(x.signs, -1, x.scale * y.shift)
    if x.shift and y.shift:
        terms.add_number(x.shift * y.shift * _n_terms(x.signs))
    return terms.nodes


def _n_terms(x: ir.Value) -> int:
    assert x.shape is not None
    size = x.shape[-1]
    assert isinstance(size, int)
    return size


class _Terms:
    """The nodes that compute a sum of terms.

    Args:
        graph: The graph that gets constants.
        source: The node that they replace.
        nodes: Those of the first term.
    """

    def __init__(self, graph: ir.Graph, source: ir.Node, nodes: list[ir.Node]) -> None:
        self._graph, self._source, self.nodes = graph, source, nodes

    def scale(self, factor: float) -> None:
        """Multiply the sum so far."""
        if factor != 1:
            self._append("Mul", self._constant("scale", factor))

    def add(self, signs: ir.Value, axis: int, factor: float) -> None:
        """Add the sums of signs along an axis, times a factor."""
        if factor == 0:
            return
        real = dequantize(self._graph, signs, self._source)
        assert signs.shape is not None
        kept = [1 if i == rank(signs) + axis else n for i, n in enumerate(signs.shape)]
        axes = shared_constant(self._graph, f"axis_{axis}", np.array([axis]))
        sums = real_node("ReduceSum", [real.outputs[0], axes], self._source, ir.Shape(kept))
        sums.attributes["keepdims"] = ir.AttrInt64("keepdims", 1)
        found = sums.outputs[0]
        before = [real, sums]
        if factor != 1:
            number = self._constant("shift", factor)
            before.append(real_node("Mul", [found, number], self._source, ir.Shape(kept)))
        last = self.nodes[-1].outputs[0]
        self.nodes += before
        self._append("Add", before[-1].outputs[0], last)

    def add_number(self, number: float) -> None:
        """Add a number."""
        if number != 0:
            self._append("Add", self._constant("offset", number))

    def _append(self, op_type: str, operand: ir.Value, last: ir.Value | None = None) -> None:
        inputs = [last or self.nodes[-1].outputs[0], operand]
        self.nodes.append(real_node(op_type, inputs, self._source, self._source.outputs[0].shape))

    def _constant(self, name: str, number: float) -> ir.Value:
        content = np.array(number, np.float32)
        return add_constant(self._graph, parameter_name(self._source, name), content)
