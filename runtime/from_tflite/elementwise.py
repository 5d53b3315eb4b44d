"""Operators on each number alone, and softmax."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.numbers import (
    for_one_image,
    give_real,
    real,
    real_constant,
    vectors_of,
)
from bnnkit.runtime.from_tflite.values import NHWC_TO_NCHW, Shape, Value
from bnnkit.tflite.network import Operator
from bnnkit.tflite.read_options import Options, fused_activation
from bnnkit.tflite.schema import Activation, Builtin

_WITH_ACTIVATION = {Builtin.ADD: 11, Builtin.SUB: 28, Builtin.MUL: 21, Builtin.DIV: 29}
"""The tables of their options; the activation is the first slot."""
BINARY = {
    Builtin.ADD: "Add",
    Builtin.SUB: "Sub",
    Builtin.MUL: "Mul",
    Builtin.DIV: "Div",
    Builtin.MAXIMUM: "Max",
    Builtin.MINIMUM: "Min",
    Builtin.SQUARED_DIFFERENCE: "Sub",
    Builtin.POW: "Pow",
}
UNARY = {
    Builtin.RELU: "Relu",
    Builtin.LOGISTIC: "Sigmoid",
    Builtin.TANH: "Tanh",
    Builtin.EXP: "Exp",
    Builtin.LOG: "Log",
    Builtin.SQRT: "Sqrt",
    Builtin.NEG: "Neg",
    Builtin.ABS: "Abs",
    Builtin.SIGN: "Sign",
    Builtin.ROUND: "Round",
    Builtin.FLOOR: "Floor",
    Builtin.CEIL: "Ceil",
    Builtin.SIN: "Sin",
    Builtin.COS: "Cos",
    Builtin.ELU: "Elu",
    Builtin.HARD_SWISH: "HardSwish",
}
_CLIPPED = {
    Builtin.RELU6: Activation.RELU6,
    Builtin.RELU_N1_TO_1: Activation.RELU_N1_TO_1,
}
_LEAKY_RELU, _SOFTMAX = 75, 9


def binary(draft: Draft, operator: Operator) -> None:
    """Two operands, of which one may be constant; the smaller one is repeated."""
    operands, shape = operands_of(draft, operator)
    code = operator.builtin
    name = draft.emit(BINARY[code], operands)
    if code == Builtin.SQUARED_DIFFERENCE:
        name = draft.emit("Mul", [name, name])
    table = _WITH_ACTIVATION.get(code)
    activation = fused_activation(operator, table) if table else 0
    give_real(draft, operator, name, shape, activation)


def unary(draft: Draft, operator: Operator) -> None:
    """One operand."""
    value = draft.value(operator)
    name = draft.emit(UNARY[operator.builtin], [real(draft, value)])
    give_real(draft, operator, name, value.shape)


def clipped(draft: Draft, operator: Operator) -> None:
    """RELU6 and RELU_N1_TO_1, which other operators have as an activation too."""
    value = draft.value(operator)
    activation = _CLIPPED[operator.builtin]
    give_real(draft, operator, real(draft, value), value.shape, activation)


def leaky_relu(draft: Draft, operator: Operator) -> None:
    """LEAKY_RELU."""
    value, alpha = draft.value(operator), Options(operator, _LEAKY_RELU).real(0)
    name = draft.emit("LeakyRelu", [real(draft, value)], alpha=alpha)
    give_real(draft, operator, name, value.shape)


def p_relu(draft: Draft, operator: Operator) -> None:
    """PRELU with constant slopes."""
    operands, shape = operands_of(draft, operator)
    draft.constant_of(operator, 1)
    give_real(draft, operator, draft.emit("PRelu", operands), shape)


def softmax(draft: Draft, operator: Operator) -> None:
    """SOFTMAX and LOG_SOFTMAX over the last axis."""
    value = vectors_of(draft, operator)
    name = real(draft, value)
    axis = 1 if value.is_map else len(value.shape) - 1
    if operator.code == Builtin.LOG_SOFTMAX:
        give_real(draft, operator, draft.emit("LogSoftmax", [name], axis=axis), value.shape)
        return
    beta = Options(operator, _SOFTMAX).real(0)
    if not math.isfinite(beta) or beta <= 0:
        raise UnsupportedError(f"expected a positive beta, got {beta}")
    if beta != 1:
        name = draft.emit("Mul", [name, draft.constant(beta)])
    give_real(draft, operator, draft.emit("Softmax", [name], axis=axis), value.shape)


def operands_of(draft: Draft, operator: Operator) -> tuple[list[str], Shape]:
    """Both operands as real numbers, and the shape of the result.

    Raises:
        UnsupportedError: There are not two, both are constant, or their shapes do not fit.
    """
    if len(operator.inputs) != 2:
        raise UnsupportedError(f"expected two inputs, got {len(operator.inputs)}")
    are_constant = [draft.is_constant(place) for place in operator.inputs if place >= 0]
    if len(are_constant) != 2 or all(are_constant):
        raise UnsupportedError("expected two inputs, of which one is computed")
    shapes = [draft.tensor(place).shape for place in operator.inputs]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise UnsupportedError(f"the shapes {shapes} do not fit each other") from error
    return [operand_of(draft, place, len(shape)) for place in operator.inputs], shape


def operand_of(draft: Draft, place: int, rank: int) -> str:
    """An operand as real numbers, computed or not, beside one of as many axes."""
    if draft.is_constant(place):
        return _constant(draft, place, rank)
    return _stretched(draft, draft.value_of(place), rank)


def _stretched(draft: Draft, value: Value, rank: int) -> str:
    """A computed operand with as many axes as the other.

    TFLite's converter leaves out the axes of a vector (1, C) that meets a map (1, H, W, C). With a
    free batch they are needed: (N, C, 1, 1).
    """
    name, missing = real(draft, value), rank - len(value.shape)
    if missing == 0:
        return name
    if draft.batch != 1 or (rank, missing) != (4, 2):
        raise UnsupportedError(f"the shape {value.shape} does not fit one of {rank} axes")
    return draft.emit("Unsqueeze", [name, draft.constant([2, 3], np.int64)])


def _constant(draft: Draft, place: int, rank: int) -> str:
    """A constant operand; of a map as (C, 1, 1) or (1, C, H, W)."""
    array: NDArray[Any] = real_constant(draft, place)
    if array.size == 1:
        return draft.constant(array.reshape(()))
    array = for_one_image(array.reshape((1,) * (rank - array.ndim) + array.shape))
    if rank == 4:
        array = array.transpose(NHWC_TO_NCHW)
    if rank == 4 and array.size == array.shape[1]:
        array = array.reshape(-1, 1, 1)
    return draft.constant(array)
