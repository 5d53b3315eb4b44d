"""Elementwise operators of ONNX, computed with NumPy: one rounding an operation, as engines do.

The transcendental ones are rounded as NumPy rounds them, which no engine promises to follow.
"""

from collections.abc import Callable, Mapping
from math import erf
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.graph import array

Array = NDArray[Any]
Inputs = list[Array | None]


def is_elementwise(node: ir.Node | None) -> bool:
    """Whether a node is one of these, with one output that is used."""
    if node is None or node.domain != "" or node.op_type not in _COMPUTED:
        return False
    is_training = node.op_type == "Dropout" and len(node.inputs) > 2
    return not is_training and not any(value.uses() for value in node.outputs[1:])


def uniform(value: ir.Value | None) -> Array | None:
    """The one number, an array (), that all elements of a constant are; None elsewhere."""
    content = array(value)
    if content is None or content.size == 0 or (content != content.flat[0]).any():
        return None
    return np.asarray(content.flat[0])


def compute(node: ir.Node, inputs: Inputs) -> Array:
    """What a node gives for its inputs; None for one that it does not have."""
    with np.errstate(all="ignore"):
        return np.asarray(_COMPUTED[node.op_type](node, inputs))


def evaluate(value: ir.Value, known: Mapping[ir.Value, Array]) -> Array:
    """A value that elementwise operators make of `known` ones and of uniform constants."""
    found: dict[ir.Value, Array] = dict(known)

    def content(wanted: ir.Value) -> Array:
        if wanted not in found:
            node, constant = wanted.producer(), uniform(wanted)
            if constant is not None:
                found[wanted] = constant
            else:
                assert node is not None  # the caller found elementwise operators only
                inputs = [None if x is None else content(x) for x in node.inputs]
                found[wanted] = compute(node, inputs)
        return found[wanted]

    return content(value)


def _of(apply: Callable[..., Any]) -> Callable[[ir.Node, Inputs], Any]:
    return lambda node, inputs: apply(*inputs)


def _divided(a: Array, b: Array) -> Array:
    """Integers are cut off toward 0."""
    if a.dtype.kind == "f":
        return np.asarray(np.divide(a, b))
    return np.asarray(np.trunc(np.divide(a, b)), a.dtype)


def _clipped(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _cast(node: ir.Node, inputs: Inputs) -> Array:
    return np.asarray(inputs[0]).astype(ir.DataType(node.attributes["to"].as_int()).numpy())


def _dequantized(node: ir.Node, inputs: Inputs) -> Array:
    codes, scale = (np.asarray(x) for x in inputs[:2])
    zero = inputs[2] if len(inputs) > 2 and inputs[2] is not None else np.zeros((), np.int32)
    integers = codes.astype(np.int32) - zero.astype(np.int32)
    return np.asarray(integers.astype(scale.dtype) * scale)


def _hard_sigmoid(node: ir.Node, inputs: Inputs) -> Array:
    x = np.asarray(inputs[0])
    alpha, beta = (
        np.asarray(node.attributes.get_float(name, default), x.dtype)
        for name, default in (("alpha", 0.2), ("beta", 0.5))
    )
    return np.asarray(np.clip(alpha * x + beta, 0, 1))


_ERF: Final = np.vectorize(erf, otypes=[np.float32])

ROUNDINGS: Final[dict[str, np.ufunc]] = {"Round": np.rint, "Floor": np.floor, "Ceil": np.ceil}
COMPARISONS: Final[dict[str, np.ufunc]] = {
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
}

_COMPUTED: Final[dict[str, Callable[[ir.Node, Inputs], Any]]] = {
    **{name: _of(function) for name, function in (ROUNDINGS | COMPARISONS).items()},
    "Abs": _of(np.abs),
    "Add": _of(np.add),
    "And": _of(np.logical_and),
    "Atan": _of(np.arctan),
    "Cast": _cast,
    "Clip": _of(_clipped),
    "DequantizeLinear": _dequantized,
    "Div": _of(_divided),
    "Dropout": lambda node, inputs: inputs[0],
    "Equal": _of(np.equal),
    "Erf": _of(_ERF),
    "Exp": _of(np.exp),
    "HardSigmoid": _hard_sigmoid,
    "Identity": _of(np.asarray),
    "Max": _of(lambda *x: np.maximum.reduce(np.broadcast_arrays(*x))),
    "Min": _of(lambda *x: np.minimum.reduce(np.broadcast_arrays(*x))),
    "Mul": _of(np.multiply),
    "Neg": _of(np.negative),
    "Not": _of(np.logical_not),
    "Or": _of(np.logical_or),
    "Pow": _of(lambda x, y: np.power(x, y.astype(x.dtype))),
    "Relu": _of(lambda x: np.maximum(x, np.zeros((), x.dtype))),
    "Sigmoid": _of(lambda x: 1 / (1 + np.exp(-x))),
    "Sign": _of(np.sign),
    "Softsign": _of(lambda x: x / (1 + np.abs(x))),
    "Sqrt": _of(np.sqrt),
    "Sub": _of(np.subtract),
    "Tanh": _of(np.tanh),
    "Where": _of(np.where),
    "Xor": _of(np.logical_xor),
}
