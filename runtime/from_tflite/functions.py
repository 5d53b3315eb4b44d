"""Translates elementwise functions and normalisations that take several nodes."""

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.numbers import give_real, real, vectors_of
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import axis_of
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import ActivationOptions, GeluOptions

_LEAST_NORM = 1e-6
"""The smallest length that TFLite divides by."""


def square(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate SQUARE."""
    value = builder.value(operator)
    name = real(builder, value)
    give_real(builder, operator, builder.emit("Mul", [name, name]), value.shape)


def rsqrt(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate RSQRT."""
    value = builder.value(operator)
    root = builder.emit("Sqrt", [real(builder, value)])
    give_real(builder, operator, builder.emit("Div", [builder.constant(1.0), root]), value.shape)


def gelu(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate GELU: x times the normal distribution function of x, or an approximation."""
    value = builder.value(operator)
    form = "tanh" if operator.options_as(GeluOptions).approximate else "none"
    result = builder.emit("Gelu", [real(builder, value)], approximate=form)
    give_real(builder, operator, result, value.shape)


def l2_normalization(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate L2_NORMALIZATION: divide vectors along the last axis by their length."""
    value = vectors_of(builder, operator)
    rank, name = len(value.shape), real(builder, value)
    axes = builder.constant([axis_of(-1, rank)], np.int64)
    length = builder.emit("ReduceL2", [name, axes], keepdims=1)
    length = builder.emit("Max", [length, builder.constant(_LEAST_NORM)])
    activation = operator.options_as(ActivationOptions).fused_activation_function
    divided = builder.emit("Div", [name, length])
    give_real(builder, operator, divided, value.shape, activation)


def add_n(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate ADD_N: the sum of computed values of the same shape, in their order."""
    values = [builder.value(operator, index) for index in range(len(operator.inputs))]
    if len(values) < 2 or len({value.shape for value in values}) != 1:
        shapes = ", ".join(str(value.shape) for value in values)
        raise UnsupportedError(f"expected two or more values of the same shape, got {shapes}")
    name = real(builder, values[0])
    for value in values[1:]:
        name = builder.emit("Add", [name, real(builder, value)])
    give_real(builder, operator, name, values[0].shape)
