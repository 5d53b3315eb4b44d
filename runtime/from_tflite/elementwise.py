"""Translates elementwise operators and softmax."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.numbers import (
    for_one_image,
    give_real,
    real,
    real_constant,
    vectors_of,
)
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import NHWC_TO_NCHW, OnnxValue, Shape
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import ActivationOptions, LeakyReluOptions, SoftmaxOptions
from bnnkit.tflite.schema import Activation, Builtin

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


def binary(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate an operator on two operands, one of which may be constant; shapes broadcast."""
    operands, shape = operands_of(builder, operator)
    code = operator.builtin
    name = builder.emit(BINARY[code], operands)
    if code == Builtin.SQUARED_DIFFERENCE:
        name = builder.emit("Mul", [name, name])
    give_real(builder, operator, name, shape, fused_activation(operator))


def fused_activation(operator: Operator) -> Activation:
    """The activation of an arithmetic operator; NONE if it has none in TFLite."""
    if not isinstance(operator.options, ActivationOptions):
        return Activation.NONE
    return operator.options.fused_activation_function


def unary(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate an operator on one operand."""
    value = builder.value(operator)
    name = builder.emit(UNARY[operator.builtin], [real(builder, value)])
    give_real(builder, operator, name, value.shape)


def clipped(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate RELU6 and RELU_N1_TO_1, which other operators have as an activation too."""
    value = builder.value(operator)
    activation = _CLIPPED[operator.builtin]
    give_real(builder, operator, real(builder, value), value.shape, activation)


def leaky_relu(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate LEAKY_RELU."""
    value, alpha = builder.value(operator), operator.options_as(LeakyReluOptions).alpha
    name = builder.emit("LeakyRelu", [real(builder, value)], alpha=alpha)
    give_real(builder, operator, name, value.shape)


def p_relu(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate PRELU with constant slopes."""
    operands, shape = operands_of(builder, operator)
    builder.constant_of(operator, 1)
    give_real(builder, operator, builder.emit("PRelu", operands), shape)


def softmax(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate SOFTMAX and LOG_SOFTMAX over the last axis."""
    value = vectors_of(builder, operator)
    name = real(builder, value)
    axis = 1 if value.is_map else len(value.shape) - 1
    if operator.code == Builtin.LOG_SOFTMAX:
        give_real(builder, operator, builder.emit("LogSoftmax", [name], axis=axis), value.shape)
        return
    beta = operator.options_as(SoftmaxOptions).beta
    if not math.isfinite(beta) or beta <= 0:
        raise UnsupportedError(f"expected a positive beta, got {beta}")
    if beta != 1:
        name = builder.emit("Mul", [name, builder.constant(beta)])
    give_real(builder, operator, builder.emit("Softmax", [name], axis=axis), value.shape)


def operands_of(builder: OnnxBuilder, operator: Operator) -> tuple[list[str], Shape]:
    """Both operands as real numbers, and the shape of the result.

    Raises:
        UnsupportedError: There are not two, both are constant, or their shapes do not broadcast.
    """
    if len(operator.inputs) != 2:
        raise UnsupportedError(f"expected two inputs, got {len(operator.inputs)}")
    are_constant = [builder.is_constant(place) for place in operator.inputs if place >= 0]
    if len(are_constant) != 2 or all(are_constant):
        raise UnsupportedError("expected two inputs, at least one of them computed")
    shapes = [builder.tensor(place).shape for place in operator.inputs]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise UnsupportedError(f"the shapes {shapes} do not broadcast") from error
    return [operand_of(builder, place, len(shape)) for place in operator.inputs], shape


def operand_of(builder: OnnxBuilder, place: int, rank: int) -> str:
    """Name of an operand as real numbers of as many axes, whether computed or constant."""
    if builder.is_constant(place):
        return _constant(builder, place, rank)
    return _stretched(builder, builder.value_of(place), rank)


def _stretched(builder: OnnxBuilder, value: OnnxValue, rank: int) -> str:
    """Name of a computed operand with as many axes as the other one.

    TFLite's converter leaves out axes if a vector (1, C) is combined with a map (1, H, W, C). With
    a free batch they are needed: (N, C, 1, 1).
    """
    name, missing = real(builder, value), rank - len(value.shape)
    if missing == 0:
        return name
    if builder.batch != 1 or (rank, missing) != (4, 2):
        raise UnsupportedError(f"the shape {value.shape} does not broadcast to one of {rank} axes")
    return builder.emit("Unsqueeze", [name, builder.constant([2, 3], np.int64)])


def _constant(builder: OnnxBuilder, place: int, rank: int) -> str:
    """Name of a constant operand; for a map it has the shape (C, 1, 1) or (1, C, H, W)."""
    array: NDArray[Any] = real_constant(builder, place)
    if array.size == 1:
        return builder.constant(array.reshape(()))
    array = for_one_image(array.reshape((1,) * (rank - array.ndim) + array.shape))
    if rank == 4:
        array = array.transpose(NHWC_TO_NCHW)
    if rank == 4 and array.size == array.shape[1]:
        array = array.reshape(-1, 1, 1)
    return builder.constant(array)
