"""Bools, which are held as signs: comparisons, logic, and what is chosen by them."""

import numpy as np
import onnx

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.elementwise import operand_of, operands_of
from bnnkit.runtime.from_tflite.lce_operators import as_real, signs_of
from bnnkit.runtime.from_tflite.numbers import give_real, real_constant
from bnnkit.runtime.from_tflite.values import Value
from bnnkit.tflite.network import Operator
from bnnkit.tflite.schema import Builtin, TensorType

_LOGIC = {Builtin.LOGICAL_AND: "Min", Builtin.LOGICAL_OR: "Max"}


def compare(draft: Draft, operator: Operator) -> None:
    """Two operands: >=, <=, >, <, = and not =.

    bnnkit's Sign says whether a number is at least 0. The difference of two finite numbers is 0
    only where they are equal, because underflow is gradual, and ONNX's Sign of it is -1, 0 or 1.
    Equal infinities, and NaN, have the difference NaN: of these the result is not TFLite's.
    """
    operands, shape = operands_of(draft, operator)
    code = operator.builtin
    if code in (Builtin.LESS_EQUAL, Builtin.LESS):
        operands.reverse()
    name = draft.emit("Sub", operands)
    if code not in (Builtin.GREATER_EQUAL, Builtin.LESS_EQUAL):
        name = draft.emit("Sign", [name])
        if code in (Builtin.EQUAL, Builtin.NOT_EQUAL):
            name = draft.emit("Abs", [name])
        name = draft.emit("Sub", [name, draft.constant(0.5)])
    if code == Builtin.EQUAL:
        name = draft.emit("Neg", [name])
    _give(draft, operator, name, shape)


def logic(draft: Draft, operator: Operator) -> None:
    """LOGICAL_AND and LOGICAL_OR of computed bools of one shape."""
    values = [draft.value(operator, index) for index in range(2)]
    if values[0].shape != values[1].shape or {value.kind for value in values} != {"signs"}:
        raise UnsupportedError("expected two computed bools of one shape")
    numbers = [as_real(draft, value) for value in values]
    name = draft.emit(_LOGIC[operator.builtin], numbers)
    _give(draft, operator, name, values[0].shape)


def logical_not(draft: Draft, operator: Operator) -> None:
    """LOGICAL_NOT."""
    value = signs_of(draft, operator)
    _give(draft, operator, draft.emit("Neg", [as_real(draft, value)]), value.shape)


def _give(draft: Draft, operator: Operator, name: str, shape: tuple[int, ...]) -> None:
    """Whether numbers are at least 0, as bools."""
    if draft.tensor(operator.output).type != TensorType.BOOL:
        raise UnsupportedError("expected bools as the result")
    name = draft.emit_binary("Sign", [name])
    draft.give(operator.output, Value(name=name, kind="signs", shape=shape))


def select(draft: Draft, operator: Operator) -> None:
    """SELECT and SELECT_V2.

    Between two constant numbers it is sign * (a - b) / 2 + (a + b) / 2, where that is exact, which
    keeps binary layers binary.
    """
    value = signs_of(draft, operator)
    draft.refuse_packed(operator.inputs[0])
    numbers = _two_numbers(draft, operator)
    if numbers is None:
        _choose(draft, operator, value)
        return
    half, middle = numbers
    name = as_real(draft, value)
    if half != 1:
        name = draft.emit("Mul", [name, draft.constant(half)])
    if middle != 0:
        name = draft.emit("Add", [name, draft.constant(middle)])
    give_real(draft, operator, name, value.shape)


def _two_numbers(draft: Draft, operator: Operator) -> tuple[np.float32, np.float32] | None:
    """Half the difference of the two that are chosen between, and their mean; None if not so."""
    places = operator.inputs[1:3]
    if len(places) != 2 or not all(place >= 0 and draft.is_constant(place) for place in places):
        return None
    chosen = [real_constant(draft, place).reshape(-1) for place in places]
    if any(numbers.size == 0 or (numbers != numbers[0]).any() for numbers in chosen):
        return None
    a, b = (np.float32(numbers[0]) for numbers in chosen)
    half, middle = (a - b) / np.float32(2), (a + b) / np.float32(2)
    return (half, middle) if (middle + half, middle - half) == (a, b) else None


def _choose(draft: Draft, operator: Operator, value: Value) -> None:
    """One of two operands for each bool; there are as many bools as results."""
    places = operator.inputs[1:3]
    if len(places) != 2 or min(places) < 0:
        raise UnsupportedError("expected two operands to choose between")
    shapes = [draft.tensor(place).shape for place in places]
    try:
        fits = np.broadcast_shapes(*shapes, value.shape) == value.shape
    except ValueError:
        fits = False
    if not fits:
        raise UnsupportedError(f"expected a bool for each of {shapes}, got {value.shape}")
    operands = [operand_of(draft, place, len(value.shape)) for place in places]
    condition = draft.emit("Cast", [value.name], to=onnx.TensorProto.BOOL)
    name = draft.emit("Where", [condition, *operands])
    give_real(draft, operator, name, value.shape)
