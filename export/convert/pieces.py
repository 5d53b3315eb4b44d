"""A value that elementwise operators make of one float32 x, as a function on the real line.

1. The float32 numbers are cut into intervals on which the value is a number, or a polynomial in x
   and in functions of x. Comparisons, `Sign`, `Abs`, clippings and roundings cut them.
2. A cut is found by bisection on the value itself, as float32 computes it, which must be monotone
   there: exact, whatever is rounded on the way.
3. A number that was computed from numbers is exact. One that is left over where a polynomial
   cancels, as in s + (c - c), is what exact arithmetic gives.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.convert.elementwise import (
    COMPARISONS,
    ROUNDINGS,
    compute,
    evaluate,
    is_elementwise,
    uniform,
)
from bnnkit.export.convert.polynomials import Polynomial, exactly, unknown
from bnnkit.export.convert.real_line import LARGEST, first_where, real_of

Array = NDArray[Any]
_MAX_PIECES: Final = 64
_MAX_STEPS: Final = 8
"""Of a rounding, that are worth telling apart."""


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


def pieces(value: ir.Value, x: ir.Value) -> list[Piece]:
    """The pieces of a value, from the least x on; neighbours differ.

    Raises:
        UnknownFunctionError: Something between x and the value is not known, or not uniform.
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
    """What two neighbours are together; None where they differ."""
    if isinstance(a, Number) and isinstance(b, Number):
        return Number(a.content, a.is_exact and b.is_exact) if a.content == b.content else None
    return a if isinstance(a, Form) and a == b else None


class _Function:
    """The values that depend on one x."""

    def __init__(self, x: ir.Value) -> None:
        self._x = x
        self._known = {x: [Piece(-LARGEST, LARGEST, Form(unknown("x"), 1))]}

    def pieces(self, value: ir.Value) -> list[Piece]:
        if value not in self._known:
            self._known[value] = list(self._find(value))
            if len(self._known[value]) > _MAX_PIECES:
                raise UnknownFunctionError
        return self._known[value]

    def at(self, value: ir.Value, x: Array) -> Array:
        """A value as float32 computes it."""
        shape: Array = np.broadcast_to(evaluate(value, {self._x: x}), x.shape)
        return shape

    def cut(self, part: "_Part", is_past: Callable[[Array], Array]) -> int:
        """Rule 2: the first number of a part at which a predicate of the operand holds."""
        return first_where(lambda x: is_past(self.at(part.operand, x)), part.low, part.high)

    def _find(self, value: ir.Value) -> Iterator[Piece]:
        constant, node = uniform(value), value.producer()
        if constant is not None:
            yield Piece(-LARGEST, LARGEST, Number(constant, is_exact=True))
            return
        if node is None or not is_elementwise(node):
            raise UnknownFunctionError
        for low, high, contents in _common([self.pieces(v) for v in node.inputs if v is not None]):
            if low == high:
                here = self.at(value, real_of(np.array([low])))
                yield Piece(low, high, Number(np.asarray(here[0]), is_exact=True))
            else:
                yield from _pieces_of_part(_Part(self, node, low, high, contents))


def _common(each: list[list[Piece]]) -> Iterator[tuple[int, int, list[Content]]]:
    """The intervals on which every one of several values is in one piece."""
    starts = [[piece.low for piece in of_one] for of_one in each]
    cuts = sorted({start for of_one in starts for start in of_one})
    for low, after in pairwise([*cuts, LARGEST + 1]):
        here = [of_one[bisect_right(s, low) - 1] for of_one, s in zip(each, starts, strict=True)]
        yield low, after - 1, [piece.content for piece in here]


@dataclass(frozen=True)
class _Part:
    """A node on an interval on which each of its operands is in one piece."""

    function: _Function
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

    def cut_of_result(self, number: np.float32, direction: int) -> int:
        """Where the result reaches a number, rising or falling."""
        y = self.node.outputs[0]
        return first_where(
            lambda x: self.function.at(y, x) * direction >= number * direction, self.low, self.high
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
        return [self.function.cut(self, test) for test in tests]


def _pieces_of_part(part: _Part) -> Iterator[Piece]:
    numbers = [content for content in part.contents if isinstance(content, Number)]
    node = part.node
    if len(numbers) == len(part.contents):
        present = iter(number.content for number in numbers)
        content = compute(node, [None if v is None else next(present) for v in node.inputs])
        is_exact = all(number.is_exact for number in numbers)
        yield Piece(part.low, part.high, Number(content, is_exact))
    elif node.op_type in COMPARISONS:
        yield from _compared(part)
    elif node.op_type in ROUNDINGS:
        yield from _rounded(part)
    elif node.op_type in _RULES:
        yield from _RULES[node.op_type](part)
    else:
        yield _whole(part, _opaque(part))


def _whole(part: _Part, content: Content) -> Piece:
    return Piece(part.low, part.high, content)


def _opaque(part: _Part) -> Form:
    """A function of which nothing is known."""
    names = [_polynomial(content).name for content in part.contents]
    settings = sorted(f"{key}={value.value}" for key, value in part.node.attributes.items())
    return Form(unknown(f"{part.node.op_type}({', '.join([*names, *settings])})"), 0)


def _polynomial(content: Content) -> Polynomial:
    if isinstance(content, Form):
        return content.polynomial
    if not np.isfinite(content.content):
        raise UnknownFunctionError
    return exactly(content.content.item())


def _content(polynomial: Polynomial, direction: int) -> Content:
    """Rule 3."""
    constant = polynomial.constant
    if constant is None:
        return Form(polynomial, direction)
    return Number(np.asarray(float(constant), np.float32), is_exact=False)


def _direction(content: Content) -> int | None:
    return content.direction if isinstance(content, Form) else None


def _sum(part: _Part) -> Iterator[Piece]:
    sign = -1 if part.node.op_type == "Sub" else 1
    left, right = part.contents
    turned = None if (direction := _direction(right)) is None else sign * direction
    directions = {d for d in (_direction(left), turned) if d is not None}
    both = _polynomial(left) + _polynomial(right) * exactly(sign)
    yield _whole(part, _content(both, directions.pop() if len(directions) == 1 else 0))


def _product(part: _Part) -> Iterator[Piece]:
    left, right = part.contents
    direction = 0
    for form, other in ((left, right), (right, left)):
        if isinstance(form, Form) and isinstance(other, Number):
            direction = form.direction * int(np.sign(other.content))
            if other.content == 0 and other.is_exact:
                yield _whole(part, Number(np.zeros((), np.float32), is_exact=True))
                return
    yield _whole(part, _content(_polynomial(left) * _polynomial(right), direction))


def _quotient(part: _Part) -> Iterator[Piece]:
    form, divisor = part.contents
    if not isinstance(divisor, Number) or divisor.content == 0 or not isinstance(form, Form):
        yield _whole(part, _opaque(part))
        return
    inverse = exactly(1 / exactly(divisor.content.item()).terms[()])
    direction = form.direction * int(np.sign(divisor.content))
    yield _whole(part, _content(form.polynomial * inverse, direction))


def _negative(part: _Part) -> Iterator[Piece]:
    yield _whole(part, Form(-part.form.polynomial, -part.form.direction))


def _power(part: _Part) -> Iterator[Piece]:
    base, exponent = part.contents
    if not (isinstance(exponent, Number) and exponent.content in (1, 2, 3)):
        yield _whole(part, _opaque(part))
        return
    power = exactly(1)
    for _ in range(int(exponent.content)):
        power = power * _polynomial(base)
    yield _whole(part, _content(power, 0))


def _compared(part: _Part) -> Iterator[Piece]:
    rises = part.monotone * (1 if part.node.op_type.startswith("Greater") else -1)
    rises *= 1 if isinstance(part.contents[0], Form) else -1
    y = part.node.outputs[0]
    cut = first_where(lambda x: part.function.at(y, x) == (rises > 0), part.low, part.high)
    yield from part.split([cut], [_truth(rises < 0), _truth(rises > 0)])


def _truth(content: bool) -> Number:
    return Number(np.asarray(content), is_exact=True)


def _equal(part: _Part) -> Iterator[Piece]:
    (number,) = (content for content in part.contents if isinstance(content, Number))
    answers: list[Content] = [_truth(False), _truth(True), _truth(False)]
    yield from part.split(part.around(number.content), answers)


def _sign(part: _Part) -> Iterator[Piece]:
    before = -part.monotone
    signs: list[Content] = [
        Number(np.asarray(s, np.float32), is_exact=True) for s in (before, 0, -before)
    ]
    yield from part.split(part.around(np.zeros((), np.float32)), signs)


def _size(part: _Part) -> Iterator[Piece]:
    form, cut = part.form, part.around(np.zeros((), np.float32))[0]
    negative = Form(-form.polynomial, -form.direction)
    order: list[Content] = [negative, form] if part.monotone > 0 else [form, negative]
    yield from part.split([cut], order)


def _clipped(part: _Part) -> Iterator[Piece]:
    """Each of the limits where it holds, in between the value."""
    low, high = _limits(part)
    cuts, contents = [], [part.form]
    ends = [(low, False), (high, True)] if part.monotone > 0 else [(high, False), (low, True)]
    for limit, is_last in ends:
        if limit is not None:
            cuts.append(part.around(limit.content)[0 if is_last else 1])
            contents.insert(len(contents) if is_last else 0, limit)  # type: ignore[arg-type]
    if len(cuts) == 2 and cuts[0] > cuts[1]:
        raise UnknownFunctionError
    yield from part.split(cuts, list(contents))


def _limits(part: _Part) -> tuple[Number | None, Number | None]:
    """The least and the greatest value that a node lets pass."""
    op_type = part.node.op_type
    if op_type == "Relu":
        return Number(np.zeros((), np.float32), is_exact=True), None
    if op_type == "Clip":
        present = iter(part.contents)
        given = [None if value is None else next(present) for value in part.node.inputs]
        low, high = [*given[1:], None, None][:2]
        if isinstance(low, Form) or isinstance(high, Form):
            raise UnknownFunctionError
        return low, high
    form = part.form  # of two, or it is not known
    others = [content for content in part.contents if content is not form]
    if len(others) != 1 or not isinstance(others[0], Number):
        raise UnknownFunctionError
    return (others[0], None) if op_type == "Max" else (None, others[0])


def _rounded(part: _Part) -> Iterator[Piece]:
    y = part.node.outputs[0]
    first, last = (
        float(part.function.at(y, real_of(np.array([end])))[0]) for end in (part.low, part.high)
    )
    if abs(last - first) >= _MAX_STEPS:
        yield _whole(part, Form(_opaque(part).polynomial, part.monotone))
        return
    step = part.monotone
    values = np.arange(first, last + step / 2, step, dtype=np.float32)
    cuts = [part.cut_of_result(v, step) for v in values[1:]]
    yield from part.split(cuts, [Number(np.asarray(v), is_exact=True) for v in values])


def _chosen(part: _Part) -> Iterator[Piece]:
    condition, yes, no = part.contents
    assert isinstance(condition, Number)  # there is no boolean form
    yield _whole(part, yes if condition.content else no)


def _cast(part: _Part) -> Iterator[Piece]:
    to = part.node.attributes["to"].as_int()
    if to == ir.DataType.BOOL:
        answers: list[Content] = [_truth(True), _truth(False), _truth(True)]
        yield from part.split(part.around(np.zeros((), np.float32)), answers)
    elif to == ir.DataType.FLOAT and part.operand.dtype == ir.DataType.FLOAT:
        yield _whole(part, part.form)
    else:
        raise UnknownFunctionError


def _same_form(part: _Part) -> Iterator[Piece]:
    yield _whole(part, part.form)


_RULES: Final[dict[str, Callable[[_Part], Iterator[Piece]]]] = {
    "Abs": _size,
    "Add": _sum,
    "Cast": _cast,
    "Clip": _clipped,
    "Div": _quotient,
    "Dropout": _same_form,
    "Equal": _equal,
    "Identity": _same_form,
    "Max": _clipped,
    "Min": _clipped,
    "Mul": _product,
    "Neg": _negative,
    "Pow": _power,
    "Relu": _clipped,
    "Sign": _sign,
    "Sub": _sum,
    "Where": _chosen,
}
