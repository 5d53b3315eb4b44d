"""Lowers elementwise operators, which work in any layout."""

from dataclasses import replace
from typing import Final

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.operands import operands, result_like
from bnnkit.export.tflite.source import Array, Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.options import LeakyReluOptions, SoftmaxOptions
from bnnkit.tflite.schema import Builtin

BINARY: Final = {
    "Add": Builtin.ADD,
    "Sub": Builtin.SUB,
    "Mul": Builtin.MUL,
    "Div": Builtin.DIV,
    "Max": Builtin.MAXIMUM,
    "Min": Builtin.MINIMUM,
}
UNARY: Final = {
    "Relu": Builtin.RELU,
    "Sigmoid": Builtin.LOGISTIC,
    "Tanh": Builtin.TANH,
    "Exp": Builtin.EXP,
    "Log": Builtin.LOG,
    "Sqrt": Builtin.SQRT,
    "Neg": Builtin.NEG,
    "Abs": Builtin.ABS,
    "HardSwish": Builtin.HARD_SWISH,
    "Floor": Builtin.FLOOR,
    "Ceil": Builtin.CEIL,
    "Round": Builtin.ROUND,
    "Sin": Builtin.SIN,
    "Cos": Builtin.COS,
}


def binary(builder: TfliteBuilder, node: Node) -> None:
    """Lower an operator on two values, or on a value and a constant: one rounding, as in ONNX."""
    tensors, like = operands(builder, node, "real", "real")
    tensor = arithmetic.elementwise(builder, BINARY[node.kind], *tensors)
    minus_zero = _may_be_minus_zero(builder, node)
    builder.give(
        node.output, replace(result_like(builder, like, tensor), may_be_minus_zero=minus_zero)
    )


def _may_be_minus_zero(builder: TfliteBuilder, node: Node) -> bool:
    """Whether a result can be -0.0: a sum only if both operands can, others are not analysed."""
    if node.kind != "Add":
        return True
    return all(
        builder.values[name].may_be_minus_zero
        if name in builder.values
        else has_minus_zero(builder.source.constants[name])
        for name in node.inputs
    )


def has_minus_zero(numbers: Array) -> bool:
    """Whether an array contains -0.0."""
    return bool((np.signbit(numbers) & (numbers == 0)).any())


def unary(builder: TfliteBuilder, node: Node) -> None:
    """Lower an operator on one value."""
    x = builder.value(node)
    _check_real(node, x)
    tensor = builder.emit(UNARY[node.kind], [x.tensor], builder.shape(x.tensor))
    builder.give(node.output, layout.real(x, tensor, may_be_minus_zero=True))


def leaky_relu(builder: TfliteBuilder, node: Node) -> None:
    """Lower LeakyRelu to LEAKY_RELU."""
    x = builder.value(node)
    _check_real(node, x)
    options = LeakyReluOptions(alpha=node.attributes.get("alpha", 0.01))
    shape = builder.shape(x.tensor)
    tensor = builder.emit(Builtin.LEAKY_RELU, [x.tensor], shape, options=options)
    builder.give(node.output, layout.real(x, tensor, may_be_minus_zero=True))


def p_relu(builder: TfliteBuilder, node: Node) -> None:
    """Lower PRelu to PRELU: x, or slope * x if x < 0.

    XNNPACK reads a slope for each channel without a check of their number, so a single slope is
    repeated for all channels.
    """
    x = builder.value(node)
    _check_real(node, x)
    shape = builder.shape(x.tensor)
    (slope,) = layout.constant_beside(x, builder.constant_of(node, 1)).astype(np.float32)
    slopes = np.broadcast_to(slope, (*slope.shape[:-1], shape[-1]))
    tensor = builder.emit(Builtin.PRELU, [x.tensor, builder.constant(slopes)], shape)
    builder.give(node.output, layout.real(x, tensor, may_be_minus_zero=True))


def clip(builder: TfliteBuilder, node: Node) -> None:
    """Lower Clip to MAXIMUM and MINIMUM, depending on its limits."""
    x = builder.value(node)
    _check_real(node, x)
    tensor = x.tensor
    for index, code in ((1, Builtin.MAXIMUM), (2, Builtin.MINIMUM)):
        if len(node.inputs) > index and node.inputs[index]:
            limit = builder.constant(
                builder.constant_of(node, index).reshape(1).astype(np.float32)
            )
            tensor = arithmetic.elementwise(builder, code, tensor, limit)
    builder.give(node.output, layout.real(x, tensor, may_be_minus_zero=True))


def batch_normalization(builder: TfliteBuilder, node: Node) -> None:
    """Lower BatchNormalization to MUL and ADD, rounded in the same order as in ONNX."""
    x = builder.value(node)
    _check_real(node, x)
    scale, bias, mean, variance = (builder.constant_of(node, index) for index in range(1, 5))
    epsilon = np.float32(node.attributes.get("epsilon", 1e-5))
    alpha = scale / np.sqrt(variance + epsilon)
    column = (-1,) + (1,) * (len(x.shape) - 1)
    factors, shifts = (
        layout.constant_beside(x, numbers.reshape(column))
        for numbers in (alpha, bias - mean * alpha)
    )
    tensor = arithmetic.add(builder, arithmetic.scale(builder, x.tensor, factors), shifts)
    builder.give(node.output, layout.real(x, tensor, may_be_minus_zero=has_minus_zero(shifts)))


def softmax(builder: TfliteBuilder, node: Node) -> None:
    """Lower Softmax and LogSoftmax; over the channels, they need no other layout."""
    x = builder.value(node)
    _check_real(node, x)
    n_axes = 1 + len(x.shape)
    channels_last = 1 if x.map is not None else n_axes - 1
    axis = node.attributes.get("axis", -1) % n_axes
    if axis == 0:
        raise UnsupportedError("expected other axes than the batch, got axis 0")
    if axis != channels_last:
        builder.give(node.output, _softmax_along(builder, node, x, axis))
        return
    tensor = layout.as_onnx(builder, x) if len(x.shape) == 1 else x.tensor
    pixels = None if len(x.shape) == 1 else x.map
    result = _softmax_of(builder, node, tensor)
    builder.give(node.output, layout.real(x, result, map=pixels))


def _softmax_along(builder: TfliteBuilder, node: Node, x: TfliteValue, axis: int) -> TfliteValue:
    """Softmax along another axis than the last, which becomes the last and comes back."""
    tensor = layout.as_onnx(builder, x)
    order = list(range(1 + len(x.shape)))
    order[axis], order[-1] = order[-1], order[axis]
    turned = arithmetic.transpose(builder, tensor, order)
    result = arithmetic.transpose(builder, _softmax_of(builder, node, turned), order)
    return layout.of_elements(builder, layout.real(x, result), result, x.shape)


def _softmax_of(builder: TfliteBuilder, node: Node, tensor: int) -> int:
    """Softmax or LogSoftmax along the last axis."""
    log = node.kind == "LogSoftmax"
    code = Builtin.LOG_SOFTMAX if log else Builtin.SOFTMAX
    options = None if log else SoftmaxOptions(beta=1.0)
    return builder.emit(code, [tensor], builder.shape(tensor), options=options)


def _check_real(node: Node, x: TfliteValue) -> None:
    if x.kind != "real":
        raise UnsupportedError(f"expected real numbers, got {x.kind}")
