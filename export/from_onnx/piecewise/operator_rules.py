"""The pieces of each elementwise operator's result, from the pieces of its operands."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import onnx_ir as ir

from bnnkit.export.from_onnx.piecewise.comparisons import COMPARISONS
from bnnkit.export.from_onnx.piecewise.elementwise import ROUNDINGS, compute
from bnnkit.export.from_onnx.piecewise.float32_line import first_where, from_ordinal
from bnnkit.export.from_onnx.piecewise.piece import (
    Constant,
    Content,
    NodeOnInterval,
    Piece,
    UnknownFunctionError,
    Varying,
)
from bnnkit.export.from_onnx.piecewise.polynomial import Polynomial, exactly, unknown

_MAX_STEPS: Final = 16
"""The largest number of steps of a rounding that become pieces of their own."""


def pieces_of_node(part: NodeOnInterval) -> Iterator[Piece]:
    """The pieces of a node's result on an interval, which is cut further where needed.

    Raises:
        UnknownFunctionError: The pieces cannot be found.
    """
    numbers = [content for content in part.contents if isinstance(content, Constant)]
    node = part.node
    if len(numbers) == len(part.contents):
        present = iter(number.content for number in numbers)
        content = compute(node, [None if v is None else next(present) for v in node.inputs])
        is_exact = all(number.is_exact for number in numbers)
        yield Piece(part.low, part.high, Constant(content, is_exact))
    elif node.op_type in COMPARISONS:
        yield from _compared(part)
    elif node.op_type in ROUNDINGS:
        yield from _rounded(part)
    elif node.op_type in _RULES:
        yield from _RULES[node.op_type](part)
    else:
        yield _whole(part, _opaque(part))


def _whole(part: NodeOnInterval, content: Content) -> Piece:
    return Piece(part.low, part.high, content)


def _opaque(part: NodeOnInterval) -> Varying:
    """The result as an unknown function of the operands."""
    names = [_polynomial(content).name for content in part.contents]
    settings = sorted(f"{key}={value.value}" for key, value in part.node.attributes.items())
    return Varying(unknown(f"{part.node.op_type}({', '.join([*names, *settings])})"), 0)


def _polynomial(content: Content) -> Polynomial:
    if isinstance(content, Varying):
        return content.polynomial
    if not np.isfinite(content.content):
        raise UnknownFunctionError
    return exactly(content.content.item())


def _content(polynomial: Polynomial, direction: int, *, is_whole: bool = False) -> Content:
    """Rule 3."""
    constant = polynomial.constant
    if constant is None:
        return Varying(polynomial, direction, is_whole)
    return Constant(np.asarray(float(constant), np.float32), is_exact=False)


def _is_whole(content: Content) -> bool:
    if isinstance(content, Varying):
        return content.is_whole
    return content.is_exact and float(content.content).is_integer()


def _direction(content: Content) -> int | None:
    return content.direction if isinstance(content, Varying) else None


def _sum(part: NodeOnInterval) -> Iterator[Piece]:
    sign = -1 if part.node.op_type == "Sub" else 1
    left, right = part.contents
    turned = None if (direction := _direction(right)) is None else sign * direction
    directions = {d for d in (_direction(left), turned) if d is not None}
    both = _polynomial(left) + _polynomial(right) * exactly(sign)
    direction = directions.pop() if len(directions) == 1 else 0
    is_whole = _is_whole(left) and _is_whole(right)
    yield _whole(part, _content(both, direction, is_whole=is_whole))


def _product(part: NodeOnInterval) -> Iterator[Piece]:
    left, right = part.contents
    direction = 0
    for form, other in ((left, right), (right, left)):
        if isinstance(form, Varying) and isinstance(other, Constant):
            direction = form.direction * int(np.sign(other.content))
            if other.content == 0 and other.is_exact:
                yield _whole(part, Constant(np.zeros((), np.float32), is_exact=True))
                return
    yield _whole(part, _content(_polynomial(left) * _polynomial(right), direction))


def _quotient(part: NodeOnInterval) -> Iterator[Piece]:
    form, divisor = part.contents
    if not isinstance(divisor, Constant) or divisor.content == 0 or not isinstance(form, Varying):
        yield _whole(part, _opaque(part))
        return
    inverse = exactly(1 / exactly(divisor.content.item()).terms[()])
    direction = form.direction * int(np.sign(divisor.content))
    yield _whole(part, _content(form.polynomial * inverse, direction))


def _negative(part: NodeOnInterval) -> Iterator[Piece]:
    form = part.form
    yield _whole(part, Varying(-form.polynomial, -form.direction, form.is_whole))


def _power(part: NodeOnInterval) -> Iterator[Piece]:
    base, exponent = part.contents
    if not (isinstance(exponent, Constant) and exponent.content in (1, 2, 3)):
        yield _whole(part, _opaque(part))
        return
    power = exactly(1)
    for _ in range(int(exponent.content)):
        power = power * _polynomial(base)
    yield _whole(part, _content(power, 0))


def _compared(part: NodeOnInterval) -> Iterator[Piece]:
    rises = part.monotone * (1 if part.node.op_type.startswith("Greater") else -1)
    rises *= 1 if isinstance(part.contents[0], Varying) else -1
    y = part.node.outputs[0]
    cut = first_where(lambda x: part.at(y, x) == (rises > 0), part.low, part.high)
    yield from part.split([cut], [_truth(rises < 0), _truth(rises > 0)])


def _truth(content: bool) -> Constant:
    return Constant(np.asarray(content), is_exact=True)


def _equal(part: NodeOnInterval) -> Iterator[Piece]:
    (number,) = (content for content in part.contents if isinstance(content, Constant))
    answers: list[Content] = [_truth(False), _truth(True), _truth(False)]
    yield from part.split(part.around(number.content), answers)


def _sign(part: NodeOnInterval) -> Iterator[Piece]:
    before = -part.monotone
    signs: list[Content] = [
        Constant(np.asarray(s, np.float32), is_exact=True) for s in (before, 0, -before)
    ]
    yield from part.split(part.around(np.zeros((), np.float32)), signs)


def _size(part: NodeOnInterval) -> Iterator[Piece]:
    form, cut = part.form, part.around(np.zeros((), np.float32))[0]
    negative = Varying(-form.polynomial, -form.direction)
    order: list[Content] = [negative, form] if part.monotone > 0 else [form, negative]
    yield from part.split([cut], order)


def _clipped(part: NodeOnInterval) -> Iterator[Piece]:
    """The limits where they apply, and the value in between; integers there become steps."""
    low, high = _limits(part)
    cuts, contents = [], [part.form]
    ends = [(low, False), (high, True)] if part.monotone > 0 else [(high, False), (low, True)]
    for limit, is_last in ends:
        if limit is not None:
            cuts.append(part.around(limit.content)[0 if is_last else 1])
            contents.insert(len(contents) if is_last else 0, limit)  # type: ignore[arg-type]
    if len(cuts) == 2 and cuts[0] > cuts[1]:
        raise UnknownFunctionError
    for piece in part.split(cuts, list(contents)):
        if isinstance(piece.content, Varying) and piece.content.is_whole:
            yield from _steps(replace(part, low=piece.low, high=piece.high), piece.content)
        else:
            yield piece


def _limits(part: NodeOnInterval) -> tuple[Constant | None, Constant | None]:
    """The lower and the upper limit of a node that clips."""
    op_type = part.node.op_type
    if op_type == "Relu":
        return Constant(np.zeros((), np.float32), is_exact=True), None
    if op_type == "Clip":
        present = iter(part.contents)
        given = [None if value is None else next(present) for value in part.node.inputs]
        low, high = [*given[1:], None, None][:2]
        if isinstance(low, Varying) or isinstance(high, Varying):
            raise UnknownFunctionError
        return low, high
    form = part.form  # raises an error if two operands vary
    others = [content for content in part.contents if content is not form]
    if len(others) != 1 or not isinstance(others[0], Constant):
        raise UnknownFunctionError
    return (others[0], None) if op_type == "Max" else (None, others[0])


def _rounded(part: NodeOnInterval) -> Iterator[Piece]:
    many = Varying(_opaque(part).polynomial, part.monotone, is_whole=True)
    yield from _steps(part, many)


def _steps(part: NodeOnInterval, many: Varying) -> Iterator[Piece]:
    """The integers that a result takes on an interval; `many` if they are more than a few."""
    y = part.node.outputs[0]
    first, last = (
        float(part.at(y, from_ordinal(np.array([end])))[0]) for end in (part.low, part.high)
    )
    if abs(last - first) >= _MAX_STEPS:
        yield _whole(part, many)
        return
    step = part.monotone
    values = np.arange(first, last + step / 2, step, dtype=np.float32)
    cuts = [part.cut_of_result(v, step) for v in values[1:]]
    yield from part.split(cuts, [Constant(np.asarray(v), is_exact=True) for v in values])


def _chosen(part: NodeOnInterval) -> Iterator[Piece]:
    condition, yes, no = part.contents
    assert isinstance(condition, Constant)  # boolean values are constant on a piece
    yield _whole(part, yes if condition.content else no)


def _cast(part: NodeOnInterval) -> Iterator[Piece]:
    to = part.node.attributes["to"].as_int()
    if to == ir.DataType.BOOL:
        answers: list[Content] = [_truth(True), _truth(False), _truth(True)]
        yield from part.split(part.around(np.zeros((), np.float32)), answers)
    elif to == ir.DataType.FLOAT and part.operand.dtype == ir.DataType.FLOAT:
        yield _whole(part, part.form)
    else:
        raise UnknownFunctionError


def _same_form(part: NodeOnInterval) -> Iterator[Piece]:
    yield _whole(part, part.form)


_RULES: Final[dict[str, Callable[[NodeOnInterval], Iterator[Piece]]]] = {
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
