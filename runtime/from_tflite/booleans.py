"""Translates operators on bools, which are stored as signs: comparisons, logic, SELECT."""

import numpy as np
import onnx

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.elementwise import operand_of, operands_of
from bnnkit.runtime.from_tflite.lce_operators import as_real, input_signs
from bnnkit.runtime.from_tflite.numbers import for_one_image, give_real, real_constant
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import NHWC_TO_NCHW, OnnxValue
from bnnkit.tflite.network import Operator
from bnnkit.tflite.schema import Builtin, TensorType

_LOGIC = {Builtin.LOGICAL_AND: "Min", Builtin.LOGICAL_OR: "Max"}


def compare(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate a comparison of two operands: >=, <=, >, <, == or !=.

    bnnkit's Sign says whether a number is at least 0. The difference of two finite numbers is 0
    only if they are equal, because underflow is gradual. ONNX's Sign of it is -1, 0 or 1. The
    difference of equal infinities, or of NaN, is NaN: there the result differs from TFLite's.
    """
    operands, shape = operands_of(builder, operator)
    code = operator.builtin
    if code in (Builtin.LESS_EQUAL, Builtin.LESS):
        operands.reverse()
    name = builder.emit("Sub", operands)
    if code not in (Builtin.GREATER_EQUAL, Builtin.LESS_EQUAL):
        name = builder.emit("Sign", [name])
        if code in (Builtin.EQUAL, Builtin.NOT_EQUAL):
            name = builder.emit("Abs", [name])
        name = builder.emit("Sub", [name, builder.constant(0.5)])
    if code == Builtin.EQUAL:
        name = builder.emit("Neg", [name])
    _give(builder, operator, name, shape)


def logic(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate LOGICAL_AND and LOGICAL_OR of computed bools of the same shape."""
    values = [builder.value(operator, index) for index in range(2)]
    if values[0].shape != values[1].shape or {value.kind for value in values} != {"signs"}:
        raise UnsupportedError("expected two computed bools of the same shape")
    numbers = [as_real(builder, value) for value in values]
    name = builder.emit(_LOGIC[operator.builtin], numbers)
    _give(builder, operator, name, values[0].shape)


def logical_not(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate LOGICAL_NOT."""
    value = input_signs(builder, operator)
    _give(builder, operator, builder.emit("Neg", [as_real(builder, value)]), value.shape)


def _give(builder: OnnxBuilder, operator: Operator, name: str, shape: tuple[int, ...]) -> None:
    """Make the bools "number is at least 0" the output."""
    if builder.tensor(operator.output).type != TensorType.BOOL:
        raise UnsupportedError("expected bools as the result")
    name = builder.emit_binary("Sign", [name])
    builder.give(operator.output, OnnxValue(name=name, kind="signs", shape=shape))


def select(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate SELECT and SELECT_V2.

    A choice between two constant numbers becomes sign * (a - b) / 2 + (a + b) / 2 if that is
    exact. This keeps binary layers binary.
    """
    if operator.inputs and builder.is_constant(operator.inputs[0]):
        _choose_by_constant(builder, operator)
        return
    value = input_signs(builder, operator)
    builder.refuse_packed(operator.inputs[0])
    numbers = _two_numbers(builder, operator)
    if numbers is None:
        _choose(builder, operator, value)
        return
    half, middle = numbers
    name = as_real(builder, value)
    if half != 1:
        name = builder.emit("Mul", [name, builder.constant(half)])
    if middle != 0:
        name = builder.emit("Add", [name, builder.constant(middle)])
    give_real(builder, operator, name, value.shape)


def _two_numbers(builder: OnnxBuilder, operator: Operator) -> tuple[np.float32, np.float32] | None:
    """Half the difference of two constant choices, and their mean; None if they do not qualify."""
    places = operator.inputs[1:3]
    if len(places) != 2 or not all(place >= 0 and builder.is_constant(place) for place in places):
        return None
    chosen = [real_constant(builder, place).reshape(-1) for place in places]
    if any(numbers.size == 0 or (numbers != numbers[0]).any() for numbers in chosen):
        return None
    a, b = (np.float32(numbers[0]) for numbers in chosen)
    half, middle = (a - b) / np.float32(2), (a + b) / np.float32(2)
    return (half, middle) if (middle + half, middle - half) == (a, b) else None


def _choose(builder: OnnxBuilder, operator: Operator, value: OnnxValue) -> None:
    """Choose one of two operands by each bool; there have to be as many bools as results."""
    places = operator.inputs[1:3]
    if len(places) != 2 or min(places) < 0:
        raise UnsupportedError("expected two operands to choose between")
    shapes = [builder.tensor(place).shape for place in places]
    try:
        fits = np.broadcast_shapes(*shapes, value.shape) == value.shape
    except ValueError:
        fits = False
    if not fits:
        raise UnsupportedError(f"expected a bool for each of {shapes}, got {value.shape}")
    operands = [operand_of(builder, place, len(value.shape)) for place in places]
    condition = builder.emit("Cast", [value.name], to=onnx.TensorProto.BOOL)
    name = builder.emit("Where", [condition, *operands])
    give_real(builder, operator, name, value.shape)


def _choose_by_constant(builder: OnnxBuilder, operator: Operator) -> None:
    """Choose one of two operands by constant bools."""
    if len(operator.inputs) != 3 or min(operator.inputs) < 0:
        raise UnsupportedError("expected bools and two operands to choose between")
    shapes = [builder.tensor(place).shape for place in operator.inputs]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise UnsupportedError(f"the shapes {shapes} do not broadcast") from error
    chosen = builder.constant_of(operator, 0)
    if chosen.dtype != np.bool_:
        raise UnsupportedError(f"expected bools to choose by, got {chosen.dtype}")
    wide = for_one_image(chosen.reshape((1,) * (len(shape) - chosen.ndim) + chosen.shape))
    if len(shape) == 4:
        wide = wide.transpose(NHWC_TO_NCHW)
    operands = [operand_of(builder, place, len(shape)) for place in operator.inputs[1:]]
    name = builder.emit("Where", [builder.constant(wide, np.bool_), *operands])
    give_real(builder, operator, name, shape)
