"""A value that elementwise operators compute from one float32 x, as a piecewise function.

1. The float32 numbers are cut into intervals on which the value is constant, or a polynomial in x
   and in functions of x. Comparisons, `Sign`, `Abs`, clipping and rounding make cuts.
2. A cut is found by bisection on the value itself, evaluated in float32, which must be monotone
   there. So the cut is exact, whatever is rounded before.
3. A constant computed from constants is exact. A constant that remains where a polynomial cancels,
   as in s + (c - c), is the result of exact arithmetic, from which float32 may differ.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.from_onnx.piecewise.elementwise import evaluate, is_elementwise, uniform
from bnnkit.export.from_onnx.piecewise.float32_line import LARGEST_ORDINAL, from_ordinal
from bnnkit.export.from_onnx.piecewise.operator_rules import pieces_of_node
from bnnkit.export.from_onnx.piecewise.piece import (
    Constant,
    Content,
    NodeOnInterval,
    Piece,
    UnknownFunctionError,
    Varying,
)
from bnnkit.export.from_onnx.piecewise.polynomial import unknown

Array = NDArray[Any]
_MAX_PIECES: Final = 64


def pieces(value: ir.Value, x: ir.Value) -> list[Piece]:
    """The pieces of a value by ascending x, with equal neighbours merged.

    Raises:
        UnknownFunctionError: An operator between x and the value is unknown or not uniform.
    """
    merged: list[Piece] = []
    for piece in _Function(x).pieces(value):
        same = _merged(merged[-1].content, piece.content) if merged else None
        if same is None:
            merged.append(piece)
        else:
            merged[-1] = Piece(merged[-1].low, piece.high, same)
    return merged


def _merged(a: Content, b: Content) -> Content | None:
    """The content of two merged neighbours; None if they differ."""
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(a.content, a.is_exact and b.is_exact) if a.content == b.content else None
    return a if isinstance(a, Varying) and a == b else None


class _Function:
    """Finds the pieces of values that depend on one x, and keeps them."""

    def __init__(self, x: ir.Value) -> None:
        self._x = x
        self._known = {x: [Piece(-LARGEST_ORDINAL, LARGEST_ORDINAL, Varying(unknown("x"), 1))]}

    def pieces(self, value: ir.Value) -> list[Piece]:
        if value not in self._known:
            self._known[value] = list(self._find(value))
            if len(self._known[value]) > _MAX_PIECES:
                raise UnknownFunctionError
        return self._known[value]

    def at(self, value: ir.Value, x: Array) -> Array:
        """A value for some x, evaluated in float32."""
        found: Array = np.broadcast_to(evaluate(value, {self._x: x}), x.shape)
        return found

    def _find(self, value: ir.Value) -> Iterator[Piece]:
        constant, node = uniform(value), value.producer()
        if constant is not None:
            yield Piece(-LARGEST_ORDINAL, LARGEST_ORDINAL, Constant(constant, is_exact=True))
            return
        if node is None or not is_elementwise(node):
            raise UnknownFunctionError
        for low, high, contents in _common([self.pieces(v) for v in node.inputs if v is not None]):
            if low == high:
                here = self.at(value, from_ordinal(np.array([low])))
                yield Piece(low, high, Constant(np.asarray(here[0]), is_exact=True))
            else:
                yield from pieces_of_node(NodeOnInterval(self.at, node, low, high, contents))


def _common(each: list[list[Piece]]) -> Iterator[tuple[int, int, list[Content]]]:
    """The intervals on which each of several values is in one piece."""
    starts = [[piece.low for piece in of_one] for of_one in each]
    cuts = sorted({start for of_one in starts for start in of_one})
    for low, after in pairwise([*cuts, LARGEST_ORDINAL + 1]):
        here = [of_one[bisect_right(s, low) - 1] for of_one, s in zip(each, starts, strict=True)]
        yield low, after - 1, [piece.content for piece in here]
