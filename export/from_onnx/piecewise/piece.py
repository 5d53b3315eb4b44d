"""Pieces of a function on the real line, and a node on one interval of it (`pieces.py`)."""

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
    """The value is none of which this module can tell the pieces."""


@dataclass(frozen=True)
class Number:
    """A value that is constant on an interval.

    Attributes:
        content: It, an array (), of the type of the value.
        is_exact: Rule 3.
    """

    content: Array
    is_exact: bool


@dataclass(frozen=True)
class Form:
    """A float value that varies on an interval.

    Attributes:
        polynomial: It, in exact arithmetic.
        direction: +1 where float32 computes a nondecreasing function of x, -1 where a
            nonincreasing one, 0 where that is not known.
    """

    polynomial: Polynomial
    direction: int


Content = Number | Form


@dataclass(frozen=True)
class Piece:
    """What a value is on an interval.

    Attributes:
        low: The number of its first x (`real_line`).
        high: Of its last.
        content: The value.
    """

    low: int
    high: int
    content: Content


@dataclass(frozen=True)
class Part:
    """A node on an interval on which each of its operands is in one piece.

    Attributes:
        at: A value as float32 computes it for some x.
        node: It.
        low: The number of the first x.
        high: Of the last.
        contents: Of its operands.
    """

    at: Callable[[ir.Value, Array], Array]
    node: ir.Node
    low: int
    high: int
    contents: list[Content]

    @property
    def form(self) -> Form:
        """The one operand that varies."""
        forms = [content for content in self.contents if isinstance(content, Form)]
        if len(forms) != 1:
            raise UnknownFunctionError
        return forms[0]

    @property
    def operand(self) -> ir.Value:
        """Its value."""
        present = [value for value in self.node.inputs if value is not None]
        return present[self.contents.index(self.form)]

    @property
    def monotone(self) -> int:
        """Its direction.

        Raises:
            UnknownFunctionError: It has none.
        """
        if self.form.direction == 0:
            raise UnknownFunctionError
        return self.form.direction

    def cut(self, is_past: Callable[[Array], Array]) -> int:
        """The first number at which a predicate of the operand holds that then stays true."""
        return first_where(lambda x: is_past(self.at(self.operand, x)), self.low, self.high)

    def cut_of_result(self, number: np.float32, direction: int) -> int:
        """Where the result reaches a number, rising or falling."""
        y = self.node.outputs[0]
        return first_where(
            lambda x: self.at(y, x) * direction >= number * direction, self.low, self.high
        )

    def split(self, cuts: list[int], contents: list[Content]) -> Iterator[Piece]:
        """The interval, cut before these numbers."""
        edges = [self.low, *cuts, self.high + 1]
        for (low, after), content in zip(pairwise(edges), contents, strict=True):
            if low < after:
                yield Piece(low, after - 1, content)

    def around(self, number: Array) -> list[int]:
        """The first x at which the operand is no longer before a number, and the first past it."""
        if self.monotone > 0:
            tests = (lambda v: v >= number), (lambda v: v > number)
        else:
            tests = (lambda v: v <= number), (lambda v: v < number)
        return [self.cut(test) for test in tests]
