"""Values of which each is p on one side of a threshold and -p on the other, found in the graph.

1. A value that elementwise operators and uniform constants make of one real value x is looked at
   on the whole real line (`pieces.py`): it is a sign if it is one of two opposite numbers, and
   changes once. So every way of writing a sign is known that is one.
2. A value that they make of one comparison of x with constants, which may be one for each channel,
   is a sign if it is p where that holds and -p elsewhere.
3. What is 0 at the one x between -p and p, as ONNX's own `Sign`, is a sign that has to be remapped
   there: 0 becomes as +1. Not where farther up the graph more than one x leads to that 0, nor
   where an operator behind it sees the difference.
4. Where a number is what is left of a straight-through estimator, as in s + c - c, the rounding of
   that sum is lost; it is measured.

Nearer values x come first. One that is rounded, clipped or chosen by more than the steps of
`export/analysis/monotone.py` is looked through.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.operators.facts import RESHAPES
from bnnkit.export.analysis.monotone import step
from bnnkit.export.from_onnx.comparisons import COMPARISONS, Comparison, at_least, comparison
from bnnkit.export.from_onnx.elementwise import (
    ROUNDINGS,
    evaluate,
    is_elementwise,
    uniform,
)
from bnnkit.export.from_onnx.piecewise.float32_line import from_ordinal, sample
from bnnkit.export.from_onnx.piecewise.piece import Number, Piece, UnknownFunctionError
from bnnkit.export.from_onnx.piecewise.pieces import pieces
from bnnkit.export.graph import array, operand

_MAX_OPERATORS: Final = 64
_DECIDES: Final = ("Sign", "Equal", "Cast", "Where", *COMPARISONS, *ROUNDINGS)
"""Operators in which a sign may be written: their result jumps. (Others need not be tried.)"""
_SEES_ZERO: Final = ("Abs", "Cast", "Equal", "Relu", "Where", "Pow", *COMPARISONS)
"""Operators behind a sign to which a 0 between -p and p would mean something of its own."""
_SAMPLED: Final = 8.0
"""The largest x for which the rounding that is lost is measured: activations are normalised."""
_N_SAMPLES: Final = 2000
_LARGEST_DEVIATION: Final = 1e-5


@dataclass(frozen=True)
class TwoValued:
    """A value that is one of two opposite numbers everywhere.

    Attributes:
        value: It.
        condition: Where it is the first of the two.
        yes: The first number; the second is -yes.
        is_remapped: It is 0 where the two meet, in the source.
        deviation: How far the source is from the two, relative to them, by rounding alone, for x
            of size 8 at most; None where it is one of them exactly.
    """

    value: ir.Value
    condition: Comparison
    yes: np.float32
    is_remapped: bool
    deviation: float | None


def two_valued(value: ir.Value, position: dict[ir.Node, int]) -> TwoValued | None:
    """What a value is, where it is a sign.

    Args:
        value: Of float32.
        position: Of each node in the graph.
    """
    best: TwoValued | None = None
    for x in _sources(value, position):
        if x.dtype == ir.DataType.BOOL:
            found = _of_comparison(value, x)
        elif x.dtype == ir.DataType.FLOAT and x.shape == value.shape:
            try:
                line = pieces(value, x)
            except UnknownFunctionError:
                continue
            if _is_zero_too_often(line):
                return None
            found = _of_line(value, x, line)
        else:
            continue
        if found is not None and (best is None or _is_better(found, best)):
            best = found
        if best is not None and not best.is_remapped and _is_plain(best.condition.x):
            break
    if best is None:
        return None
    is_lost = best.is_remapped and (
        _zero_is_seen(value, best.condition.x) or _is_made_zero(best.condition.x, position)
    )
    return None if is_lost else best


def _is_better(found: TwoValued, best: TwoValued) -> bool:
    """Whether a value farther up says more."""
    if found.is_remapped:
        return False
    return best.is_remapped or not _is_plain(best.condition.x)


def _is_plain(x: ir.Value) -> bool:
    """Whether a value is made in a way that the other passes know."""
    return not is_elementwise(x.producer()) or step(x) is not None


def _sources(
    value: ir.Value, position: dict[ir.Node, int], *, must_decide: bool = True
) -> Iterator[ir.Value]:
    """The values of which alone, with constants, a value is made, from the nearest on.

    Args:
        value: That value.
        position: Of each node in the graph.
        must_decide: Only those on the way from which something decides, as signs do.
    """
    seen: set[ir.Value] = set()
    leaves, decides = {value}, not must_decide
    for _ in range(_MAX_OPERATORS):
        last = max(leaves, key=lambda leaf: _place(leaf, position))
        node = last.producer()
        if node is None or not _can_pass(node):
            return
        decides = decides or node.op_type in _DECIDES
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
    if both.dtype != np.float32 or both[0] != -both[1] or both[0] == 0:
        return None
    return TwoValued(value, condition, np.float32(both[0]), is_remapped=False, deviation=None)


def _of_line(value: ir.Value, x: ir.Value, line: list[Piece]) -> TwoValued | None:
    """Rules 1 and 3."""
    numbers = [piece.content for piece in line if isinstance(piece.content, Number)]
    if len(numbers) < len(line) or len(line) not in (2, 3):
        return None
    first, *middle, last = (np.float32(number.content) for number in numbers)
    if first != -last or last == 0 or any(number != 0 for number in middle):
        return None
    condition = at_least(x, float(from_ordinal(line[1].low)))
    found = TwoValued(value, condition, last, bool(middle), None)
    if all(number.is_exact for number in numbers):
        return found
    deviation = max(_deviation(value, x, piece) / abs(float(last)) for piece in line)
    return replace(found, deviation=deviation) if deviation <= _LARGEST_DEVIATION else None


def _deviation(value: ir.Value, x: ir.Value, piece: Piece) -> float:
    """Rule 4: the largest difference of a value from its number."""
    points = sample(piece.low, piece.high, _SAMPLED, _N_SAMPLES)
    assert isinstance(piece.content, Number)
    error = evaluate(value, {x: points}) - piece.content.content
    return float(np.abs(error).max(initial=0))


def _is_zero_too_often(line: list[Piece]) -> bool:
    """Whether a value is 0 for many x of any size: it has three values then."""
    for piece in line:
        if isinstance(piece.content, Number) and piece.content.content == 0:
            low, high = (float(from_ordinal(end)) for end in (piece.low, piece.high))
            if high - low > 1e-30 + 1e-6 * max(abs(low), abs(high)):
                return True
    return False


def _is_made_zero(x: ir.Value, position: dict[ir.Node, int]) -> bool:
    """Whether x is moved or pooled from a value that is 0 too often, such as that of a `Relu`."""
    node = x.producer()
    if node is None or node.domain != "" or node.op_type not in ("MaxPool", *RESHAPES):
        return False
    inner = operand(node, 0)
    for source in _sources(inner, position, must_decide=False):
        try:
            if source.dtype == ir.DataType.FLOAT and _is_zero_too_often(pieces(inner, source)):
                return True
        except UnknownFunctionError:
            continue
    return _is_made_zero(inner, position)


def _zero_is_seen(value: ir.Value, x: ir.Value) -> bool:
    """Whether an operator behind a sign makes something of its 0 that is no scaled 0."""
    users = [use.node for use in value.uses() if use.node.domain == ""]
    return any(
        node.op_type in _SEES_ZERO
        or (_is_of_computed(node) and (node.op_type in ("Mul", "Div") or _is_step(node, x)))
        for node in users
    )


def _is_of_computed(node: ir.Node) -> bool:
    """Whether a node computes with two values that are no constants."""
    return sum(v is not None and array(v) is None for v in node.inputs) > 1


def _is_step(node: ir.Node, x: ir.Value) -> bool:
    """Whether a node makes numbers alone of one x: the sign is a part of a larger function."""
    try:
        line = pieces(node.outputs[0], x)
    except UnknownFunctionError:
        return False
    return all(isinstance(piece.content, Number) for piece in line)
