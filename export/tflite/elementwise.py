"""Operators that treat each element alone, in whatever layout it lies."""

from dataclasses import replace
from typing import Final

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.operands import operands, spread
from bnnkit.export.tflite.source import Array, Node
from bnnkit.export.tflite.values import Value
from bnnkit.tflite import options
from bnnkit.tflite.options import Options
from bnnkit.tflite.schema import Builtin

BINARY: Final = {
    "Add": Builtin.ADD,
    "Sub": Builtin.SUB,
    "Mul": Builtin.MUL,
    "Div": Builtin.DIV,
    "Max": Builtin.MAXIMUM,
    "Min": Builtin.MINIMUM,
}
UNARY: Final[dict[str, tuple[Builtin, Options | None]]] = {
    "Relu": (Builtin.RELU, None),
    "Sigmoid": (Builtin.LOGISTIC, None),
    "Tanh": (Builtin.TANH, None),
    "Exp": (Builtin.EXP, options.EXP),
    "Log": (Builtin.LOG, None),
    "Sqrt": (Builtin.SQRT, None),
    "Neg": (Builtin.NEG, options.NEG),
    "Abs": (Builtin.ABS, options.ABS),
    "HardSwish": (Builtin.HARD_SWISH, options.HARD_SWISH),
}


def binary(draft: Draft, node: Node) -> None:
    """ADD and others, on two values or on a value and a constant: one rounding, as in ONNX."""
    tensors, like = operands(draft, node, "real", "real")
    tensor = arithmetic.elementwise(draft, BINARY[node.kind], *tensors)
    minus_zero = _may_be_minus_zero(draft, node)
    draft.give(node.output, replace(spread(draft, like, tensor), may_be_minus_zero=minus_zero))


def _may_be_minus_zero(draft: Draft, node: Node) -> bool:
    """A sum is -0.0 only if both are; of the others it is not known."""
    if node.kind != "Add":
        return True
    return all(
        draft.values[name].may_be_minus_zero
        if name in draft.values
        else has_minus_zero(draft.source.constants[name])
        for name in node.inputs
    )


def has_minus_zero(numbers: Array) -> bool:
    """Whether an array contains -0.0."""
    return bool((np.signbit(numbers) & (numbers == 0)).any())


def unary(draft: Draft, node: Node) -> None:
    """An operator on one value."""
    x = draft.value(node)
    _check_real(node, x)
    code, chosen = UNARY[node.kind]
    tensor = draft.emit(code, [x.tensor], draft.shape(x.tensor), options=chosen)
    draft.give(node.output, layout.real(x, tensor, may_be_minus_zero=True))


def leaky_relu(draft: Draft, node: Node) -> None:
    """LEAKY_RELU."""
    x = draft.value(node)
    _check_real(node, x)
    chosen = options.leaky_relu(node.attributes.get("alpha", 0.01))
    shape = draft.shape(x.tensor)
    tensor = draft.emit(Builtin.LEAKY_RELU, [x.tensor], shape, options=chosen)
    draft.give(node.output, layout.real(x, tensor, may_be_minus_zero=True))


def p_relu(draft: Draft, node: Node) -> None:
    """PRELU: x, or slope * x where x < 0.

    XNNPACK reads a slope for each channel without asking how many there are, so one slope is
    written as often as there are channels.
    """
    x = draft.value(node)
    _check_real(node, x)
    shape = draft.shape(x.tensor)
    (slope,) = layout.constant_beside(x, draft.constant_of(node, 1)).astype(np.float32)
    slopes = np.broadcast_to(slope, (*slope.shape[:-1], shape[-1]))
    tensor = draft.emit(Builtin.PRELU, [x.tensor, draft.constant(slopes)], shape)
    draft.give(node.output, layout.real(x, tensor, may_be_minus_zero=True))


def clip(draft: Draft, node: Node) -> None:
    """MAXIMUM and MINIMUM, as far as there are limits."""
    x = draft.value(node)
    _check_real(node, x)
    tensor = x.tensor
    for index, code in ((1, Builtin.MAXIMUM), (2, Builtin.MINIMUM)):
        if len(node.inputs) > index and node.inputs[index]:
            limit = draft.constant(draft.constant_of(node, index).reshape(1).astype(np.float32))
            tensor = arithmetic.elementwise(draft, code, tensor, limit)
    draft.give(node.output, layout.real(x, tensor, may_be_minus_zero=True))


def batch_normalization(draft: Draft, node: Node) -> None:
    """A scale and a shift, in ONNX's order of roundings."""
    x = draft.value(node)
    _check_real(node, x)
    scale, bias, mean, variance = (draft.constant_of(node, index) for index in range(1, 5))
    epsilon = np.float32(node.attributes.get("epsilon", 1e-5))
    alpha = scale / np.sqrt(variance + epsilon)
    column = (-1,) + (1,) * (len(x.shape) - 1)
    factors, shifts = (
        layout.constant_beside(x, numbers.reshape(column))
        for numbers in (alpha, bias - mean * alpha)
    )
    tensor = arithmetic.add(draft, arithmetic.scale(draft, x.tensor, factors), shifts)
    draft.give(node.output, layout.real(x, tensor, may_be_minus_zero=has_minus_zero(shifts)))


def softmax(draft: Draft, node: Node) -> None:
    """SOFTMAX or LOG_SOFTMAX over the channels."""
    x = draft.value(node)
    _check_real(node, x)
    n_axes = 1 + len(x.shape)
    channels_last = 1 if x.map is not None else n_axes - 1
    if node.attributes.get("axis", -1) % n_axes != channels_last:
        raise UnsupportedError("expected the axis of the channels")
    tensor = layout.as_onnx(draft, x) if len(x.shape) == 1 else x.tensor
    pixels = None if len(x.shape) == 1 else x.map
    log = node.kind == "LogSoftmax"
    code = Builtin.LOG_SOFTMAX if log else Builtin.SOFTMAX
    chosen = options.LOG_SOFTMAX if log else options.SOFTMAX
    result = draft.emit(code, [tensor], draft.shape(tensor), options=chosen)
    draft.give(node.output, layout.real(x, result, map=pixels))


def _check_real(node: Node, x: Value) -> None:
    if x.kind != "real":
        raise UnsupportedError(f"expected real numbers, got {x.kind}")
