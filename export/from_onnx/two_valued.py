"""Finds values that are one number on one side of a threshold, and another on the other.

Most often these are p and -p, that is signs; they can also be 0 and 1, or a + b and a - b.

1. A value that elementwise operators and uniform constants compute from one real value x is
   analysed as a function on all float32 numbers (`piecewise`). It is found if it takes two numbers
   and changes once, in whatever operators it is written.
2. A value computed from one comparison of x with constants, which may differ between channels, is
   found if it is one number where the comparison is true, and another elsewhere.
3. A value that is 0 at the single x between -p and p, such as ONNX's own `Sign`, is a sign with a
   remapped zero: 0 becomes +1. It is refused if more than one x farther up the graph leads to that
   0, or if a later operator would see the difference.
4. If a number is what remains of a straight-through estimator, as in s + c - c, the rounding of
   that sum is lost. The deviation is measured.

The nearest x is tried first. If x itself is rounded, clipped or selected by operators that are not
steps of `export/analysis/monotone.py`, values farther up are tried too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.operators.facts import JUMPS
from bnnkit.export.analysis.monotone import step
from bnnkit.export.from_onnx.piecewise.comparisons import (
    COMPARISONS,
    Comparison,
    at_least,
    comparison,
)
from bnnkit.export.from_onnx.piecewise.elementwise import (
    ROUNDINGS,
    evaluate,
    is_elementwise,
    uniform,
)
from bnnkit.export.from_onnx.piecewise.float32_line import from_ordinal, sample
from bnnkit.export.from_onnx.piecewise.piece import Constant, Piece, UnknownFunctionError
from bnnkit.export.from_onnx.piecewise.pieces import pieces
from bnnkit.export.ir.graph import array

_MAX_OPERATORS: Final = 64
_SEES_ZERO: Final = ("Abs", "Cast", "Equal", "Relu", "Where", "Pow", *COMPARISONS)
"""Operators behind a sign to which a 0 between -p and p would mean something of its own."""
_SAMPLED: Final = 8.0
"""The largest x for which the lost rounding is measured; activations are normalised."""
_N_SAMPLES: Final = 2000
LARGEST_DEVIATION: Final = 1e-5
"""The largest relative difference by rounding from the numbers of a value."""


@dataclass(frozen=True)
class TwoValued:
    """A value that is everywhere one of two numbers.

    Attributes:
        value: The value.
        condition: The comparison that is true where the value is `yes`.
        yes: The first number.
        no: The second number; -yes for a sign.
        is_remapped: Whether the value is 0 between the two numbers in the source.
        deviation: The largest relative difference of the source from the two numbers due to
            rounding, for x of magnitude 8 at most; None if the source is exact.
    """

    value: ir.Value
    condition: Comparison
    yes: np.float32
    no: np.float32
    is_remapped: bool
    deviation: float | None

    @property
    def is_sign(self) -> bool:
        """Whether the two numbers are opposite."""
        return bool(self.no == -self.yes)


def two_valued(value: ir.Value, position: dict[ir.Node, int]) -> TwoValued | None:
    """Analyses a value; None if it is not a sign.

    Args:
        value: A float32 value.
        position: The position of each node in the graph.
    """
    best: TwoValued | None = None
    for x in sources(value, position):
        if x.dtype == ir.DataType.BOOL:
            found = _of_comparison(value, x)
        elif x.dtype == ir.DataType.FLOAT and x.shape == value.shape:
            try:
                line = pieces(value, x)
            except UnknownFunctionError:
                continue
            found = _of_line(value, x, line)
            is_known = all(isinstance(piece.content, Constant) for piece in line)
            if is_known and is_zero_too_often(line) and (found is None or found.is_sign):
                return None
        else:
            continue
        if found is not None and (best is None or _is_better(found, best)):
            best = found
        if best is not None and not best.is_remapped and is_plain(best.condition.x):
            break
    if best is None:
        return None
    is_lost = best.is_remapped and _zero_is_seen(value, best.condition.x)
    return None if is_lost else best


def _is_better(found: TwoValued, best: TwoValued) -> bool:
    """Whether a result for a value farther up is better than the best so far."""
    if found.is_remapped:
        return False
    return best.is_remapped or not is_plain(best.condition.x)


def is_plain(x: ir.Value) -> bool:
    """Whether a value is computed in a way that the other passes can handle."""
    node = x.producer()
    if node is None or not is_elementwise(node):
        return True
    return node.op_type not in ROUNDINGS and step(x) is not None


def sources(value: ir.Value, position: dict[ir.Node, int]) -> Iterator[ir.Value]:
    """The single values that, with constants, determine a value, from the nearest on.

    Only those count after which an operator decides, such as a comparison.

    Args:
        value: The value.
        position: The position of each node in the graph.
    """
    seen: set[ir.Value] = set()
    leaves, decides = {value}, False
    for _ in range(_MAX_OPERATORS):
        last = max(leaves, key=lambda leaf: _place(leaf, position))
        node = last.producer()
        if node is None or not _can_pass(node):
            return
        decides = decides or node.op_type in JUMPS
        seen.add(last)
        leaves.remove(last)
        leaves |= {v for v in node.inputs if v is not None and v not in seen and array(v) is None}
        if len(leaves) == 1 and decides:
            yield next(iter(leaves))
        if not leaves:
            return


def _place(leaf: ir.Value, position: dict[ir.Node, int]) -> int:
    node = leaf.producer()
    return -1 if node is None else position.get(node, -1)


def _can_pass(node: ir.Node) -> bool:
    constants = [v for v in node.inputs if v is not None and array(v) is not None]
    return is_elementwise(node) and all(uniform(v) is not None for v in constants)


def _of_comparison(value: ir.Value, truth: ir.Value) -> TwoValued | None:
    """Rule 2."""
    condition = comparison(truth)
    if condition is None or condition.x.dtype != ir.DataType.FLOAT:
        return None
    both = np.broadcast_to(evaluate(value, {truth: np.array([True, False])}), (2,))
    if both.dtype != np.float32 or both[0] == both[1] or not np.isfinite(both).all():
        return None
    yes, no = (np.float32(number) for number in both)
    return TwoValued(value, condition, yes, no, is_remapped=False, deviation=None)


def _of_line(value: ir.Value, x: ir.Value, line: list[Piece]) -> TwoValued | None:
    """Rules 1 and 3."""
    numbers = [piece.content for piece in line if isinstance(piece.content, Constant)]
    if len(numbers) < len(line) or len(line) not in (2, 3):
        return None
    first, *middle, last = (np.float32(number.content) for number in numbers)
    is_sign = first == -last and last != 0 and all(number == 0 for number in middle)
    is_step = not middle and first != last and bool(np.isfinite([first, last]).all())
    if not (is_sign or is_step):
        return None
    condition = at_least(x, float(from_ordinal(line[1].low)))
    found = TwoValued(value, condition, last, first, bool(middle), None)
    if all(number.is_exact for number in numbers):
        return found
    if not is_sign:
        return None
    largest = max(deviation(value, x, piece) / abs(float(last)) for piece in line)
    return replace(found, deviation=largest) if largest <= LARGEST_DEVIATION else None


def deviation(value: ir.Value, x: ir.Value, piece: Piece) -> float:
    """Rule 4: the largest absolute difference of a value from its number."""
    points = sample(piece.low, piece.high, _SAMPLED, _N_SAMPLES)
    assert isinstance(piece.content, Constant)
    error = evaluate(value, {x: points}) - piece.content.content
    return float(np.abs(error).max(initial=0))


def is_zero_too_often(line: list[Piece]) -> bool:
    """Whether a value is 0 on an interval of x, so that it takes three values."""
    for piece in line:
        if isinstance(piece.content, Constant) and piece.content.content == 0:
            low, high = (float(from_ordinal(end)) for end in (piece.low, piece.high))
            if high - low > 1e-30 + 1e-6 * max(abs(low), abs(high)):
                return True
    return False


def _zero_is_seen(value: ir.Value, x: ir.Value) -> bool:
    """Whether an operator after a sign makes anything other than a scaled 0 of its 0."""
    users = [use.node for use in value.uses() if use.node.domain == ""]
    return any(
        node.op_type in _SEES_ZERO
        or (_is_of_computed(node) and (node.op_type in ("Mul", "Div") or _is_step(node, x)))
        for node in users
    )


def _is_of_computed(node: ir.Node) -> bool:
    """Whether a node has at least two inputs that are not constant."""
    return sum(v is not None and array(v) is None for v in node.inputs) > 1


def _is_step(node: ir.Node, x: ir.Value) -> bool:
    """Whether a node is a step function of x, so that the sign is part of a larger function."""
    try:
        line = pieces(node.outputs[0], x)
    except UnknownFunctionError:
        return False
    return all(isinstance(piece.content, Constant) for piece in line)
