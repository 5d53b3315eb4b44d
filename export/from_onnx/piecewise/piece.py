"""Pieces of a function of x, and a node on one interval of x (see `pieces`)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.from_onnx.piecewise.float32_line import first_where
from bnnkit.export.from_onnx.piecewise.polynomial import Polynomial

Array = NDArray[Any]


class UnknownFunctionError(Exception):
    """The pieces of a value cannot be found."""


@dataclass(frozen=True)
class Constant:
    """A value that is constant on an interval.

    Attributes:
        content: The constant, an array () of the type of the value.
        is_exact: Whether float32 gives exactly this constant (rule 3 of `pieces`).
    """

    content: Array
    is_exact: bool


@dataclass(frozen=True)
class Varying:
    """A float value that varies on an interval.

    Attributes:
        polynomial: The value in exact arithmetic.
        direction: +1 if the value, evaluated in float32, is nondecreasing in x, -1 if it is
            nonincreasing, 0 if that is not known.
        is_whole: Whether the value, evaluated in float32, takes integers only.
    """

    polynomial: Polynomial
    direction: int
    is_whole: bool = False


Content = Constant | Varying


@dataclass(frozen=True)
class Piece:
    """A value on an interval of x.

    Attributes:
        low: The ordinal of the first x (see `float32_line`).
        high: The ordinal of the last x.
        content: The value.
    """

    low: int
    high: int
    content: Content


@dataclass(frozen=True)
class NodeOnInterval:
    """A node on an interval of x on which each of its operands is in one piece.

    Attributes:
        at: Evaluates a value in float32 for some x.
        node: The node.
        low: The ordinal of the first x.
        high: The ordinal of the last x.
        contents: The operands.
    """

    at: Callable[[ir.Value, Array], Array]
    node: ir.Node
    low: int
    high: int
    contents: list[Content]

    @property
    def form(self) -> Varying:
        """The only operand that varies.

        Raises:
            UnknownFunctionError: Several operands vary.
        """
        forms = [content for content in self.contents if isinstance(content, Varying)]
        if len(forms) != 1:
            raise UnknownFunctionError
        return forms[0]

    @property
    def operand(self) -> ir.Value:
        """The value of the operand that varies."""
        present = [value for value in self.node.inputs if value is not None]
        return present[self.contents.index(self.form)]

    @property
    def monotone(self) -> int:
        """The direction of the operand that varies, +1 or -1.

        Raises:
            UnknownFunctionError: The direction is not known.
        """
        if self.form.direction == 0:
            raise UnknownFunctionError
        return self.form.direction

    def cut(self, is_past: Callable[[Array], Array]) -> int:
        """The first ordinal at which a monotone predicate of the operand is true."""
        return first_where(lambda x: is_past(self.at(self.operand, x)), self.low, self.high)

    def cut_of_result(self, number: np.float32, direction: int) -> int:
        """The first ordinal at which the result reaches a number, rising or falling."""
        y = self.node.outputs[0]
        return first_where(
            lambda x: self.at(y, x) * direction >= number * direction, self.low, self.high
        )

    def split(self, cuts: list[int], contents: list[Content]) -> Iterator[Piece]:
        """Pieces of the interval, cut before these ordinals."""
        edges = [self.low, *cuts, self.high + 1]
        for (low, after), content in zip(pairwise(edges), contents, strict=True):
            if low < after:
                yield Piece(low, after - 1, content)

    def around(self, number: Array) -> list[int]:
        """The first ordinal at which the operand reaches a number, and the first after it."""
        if self.monotone > 0:
            tests = (lambda v: v >= number), (lambda v: v > number)
        else:
            tests = (lambda v: v <= number), (lambda v: v < number)
        return [self.cut(test) for test in tests]
