"""Functions of each real number that TFLite has in another form than ONNX, or not at all."""

from collections.abc import Callable

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.operands import operands, spread
from bnnkit.export.tflite.source import Node
from bnnkit.tflite import options
from bnnkit.tflite.options import Options
from bnnkit.tflite.schema import Builtin


def gelu(draft: Draft, node: Node) -> None:
    """GELU: x times the normal distribution's F(x), or its approximation by tanh."""
    approximate = node.attributes.get("approximate", b"none") == b"tanh"
    chosen = options.gelu(is_approximate=approximate)
    _give(draft, node, lambda x: _unary(draft, Builtin.GELU, x, chosen))


def elu(draft: Draft, node: Node) -> None:
    """max(x, 0) + alpha (exp(min(x, 0)) - 1); ELU is that with alpha = 1."""
    alpha = node.attributes.get("alpha", 1.0)

    def form(x: int) -> int:
        if alpha == 1:
            return _unary(draft, Builtin.ELU, x)
        least = _unary(draft, Builtin.ELU, _limit(draft, Builtin.MINIMUM, x, 0))
        scaled = arithmetic.scale(draft, least, np.array([alpha]))
        return arithmetic.elementwise(draft, Builtin.ADD, _unary(draft, Builtin.RELU, x), scaled)

    _give(draft, node, form)


def hard_sigmoid(draft: Draft, node: Node) -> None:
    """max(0, min(1, alpha x + beta)), one rounding each."""
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)

    def form(x: int) -> int:
        line = arithmetic.add(
            draft, arithmetic.scale(draft, x, np.array([alpha])), np.array([beta])
        )
        return _limit(draft, Builtin.MAXIMUM, _limit(draft, Builtin.MINIMUM, line, 1), 0)

    _give(draft, node, form)


def softplus(draft: Draft, node: Node) -> None:
    """log(1 + exp(x)), as max(x, 0) + log(1 + exp(-|x|)), in which nothing overflows."""

    def form(x: int) -> int:
        size = _unary(draft, Builtin.ABS, x, options.ABS)
        falling = _unary(
            draft, Builtin.EXP, _unary(draft, Builtin.NEG, size, options.NEG), options.EXP
        )
        bend = _unary(draft, Builtin.LOG, arithmetic.add(draft, falling, np.ones(1)))
        return arithmetic.elementwise(draft, Builtin.ADD, _unary(draft, Builtin.RELU, x), bend)

    _give(draft, node, form)


def power(draft: Draft, node: Node) -> None:
    """POW, but x x for the exponent 2."""
    exponent = draft.source.constants.get(node.inputs[1])
    if exponent is not None and exponent.size == 1 and exponent.item() == 2:
        _give(draft, node, lambda x: arithmetic.elementwise(draft, Builtin.MUL, x, x))
        return
    tensors, like = operands(draft, node, "real", "real")
    shape = arithmetic.spread_shape(draft, *tensors)
    tensor = draft.emit(Builtin.POW, tensors, shape, options=options.POW)
    draft.give(node.output, spread(draft, like, tensor))


def _unary(draft: Draft, code: Builtin, tensor: int, chosen: Options | None = None) -> int:
    return draft.emit(code, [tensor], draft.shape(tensor), options=chosen)


def _limit(draft: Draft, code: Builtin, tensor: int, number: float) -> int:
    return arithmetic.elementwise(
        draft, code, tensor, draft.constant(np.array([number], np.float32))
    )


def _give(draft: Draft, node: Node, form: Callable[[int], int]) -> None:
    x = draft.value(node)
    if x.kind != "real":
        raise UnsupportedError(f"expected real numbers, got {x.kind}")
    draft.give(node.output, layout.real(x, form(x.tensor), may_be_minus_zero=True))
