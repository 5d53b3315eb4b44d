"""Lowers elementwise functions that TFLite has in another form than ONNX, or lacks."""

from collections.abc import Callable

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.operands import operands, result_like
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.tflite.options import GeluOptions
from bnnkit.tflite.schema import Builtin


def gelu(builder: TfliteBuilder, node: Node) -> None:
    """Lower Gelu: x times the normal distribution function of x, or its approximation by tanh."""
    options = GeluOptions(approximate=node.attributes.get("approximate", b"none") == b"tanh")

    def form(x: int) -> int:
        return builder.emit(Builtin.GELU, [x], builder.shape(x), options=options)

    _give(builder, node, form)


def elu(builder: TfliteBuilder, node: Node) -> None:
    """Lower Elu: max(x, 0) + alpha (exp(min(x, 0)) - 1); TFLite's ELU has alpha = 1."""
    alpha = node.attributes.get("alpha", 1.0)

    def form(x: int) -> int:
        if alpha == 1:
            return _unary(builder, Builtin.ELU, x)
        least = _unary(builder, Builtin.ELU, _limit(builder, Builtin.MINIMUM, x, 0))
        scaled = arithmetic.scale(builder, least, np.array([alpha]))
        return arithmetic.elementwise(
            builder, Builtin.ADD, _unary(builder, Builtin.RELU, x), scaled
        )

    _give(builder, node, form)


def hard_sigmoid(builder: TfliteBuilder, node: Node) -> None:
    """Lower HardSigmoid: max(0, min(1, alpha x + beta)), rounded after each operation."""
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)

    def form(x: int) -> int:
        line = arithmetic.add(
            builder, arithmetic.scale(builder, x, np.array([alpha])), np.array([beta])
        )
        return _limit(builder, Builtin.MAXIMUM, _limit(builder, Builtin.MINIMUM, line, 1), 0)

    _give(builder, node, form)


def softplus(builder: TfliteBuilder, node: Node) -> None:
    """Lower Softplus: log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), which cannot overflow."""

    def form(x: int) -> int:
        minus_size = _unary(builder, Builtin.NEG, _unary(builder, Builtin.ABS, x))
        falling = _unary(builder, Builtin.EXP, minus_size)
        bend = _unary(builder, Builtin.LOG, arithmetic.add(builder, falling, np.ones(1)))
        return arithmetic.elementwise(builder, Builtin.ADD, _unary(builder, Builtin.RELU, x), bend)

    _give(builder, node, form)


def power(builder: TfliteBuilder, node: Node) -> None:
    """Lower Pow to POW, or to x * x if the exponent is 2."""
    exponent = builder.source.constants.get(node.inputs[1])
    if exponent is not None and exponent.size == 1 and exponent.item() == 2:
        _give(builder, node, lambda x: arithmetic.elementwise(builder, Builtin.MUL, x, x))
        return
    tensors, like = operands(builder, node, "real", "real")
    shape = arithmetic.broadcast_shape(builder, *tensors)
    tensor = builder.emit(Builtin.POW, tensors, shape)
    builder.give(node.output, result_like(builder, like, tensor))


def _unary(builder: TfliteBuilder, code: Builtin, tensor: int) -> int:
    return builder.emit(code, [tensor], builder.shape(tensor))


def _limit(builder: TfliteBuilder, code: Builtin, tensor: int, number: float) -> int:
    return arithmetic.elementwise(
        builder, code, tensor, builder.constant(np.array([number], np.float32))
    )


def _give(builder: TfliteBuilder, node: Node, form: Callable[[int], int]) -> None:
    x = builder.value(node)
    if x.kind != "real":
        raise UnsupportedError(f"expected real numbers, got {x.kind}")
    builder.give(node.output, layout.real(x, form(x.tensor), may_be_minus_zero=True))
