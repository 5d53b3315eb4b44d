"""Elementwise operators that are monotone on each channel, evaluated by torch.

Thresholds must reproduce torch's evaluation of the trained network, so torch's own kernels compute
the steps: batch norm uses fused multiply-adds on processors that have them, and no formula here
could promise the same rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnkit.export.analysis.torch_batch_norm import (
    direction_of,
    exact_scale_and_shift,
    normalize,
    parameters_of,
)
from bnnkit.export.ir.graph import array, operand, rank


@dataclass(frozen=True)
class Affine:
    """The function slope * x + shift on each channel.

    Attributes:
        slope: float64, (C,) or (1,).
        shift: float64, (C,) or (1,).
    """

    slope: NDArray[np.float64]
    shift: NDArray[np.float64]

    def after(self, first: "Affine") -> "Affine":
        """The composition self(first(x))."""
        return Affine(self.slope * first.slope, self.slope * first.shift + self.shift)


IDENTITY: Final = Affine(np.ones(1), np.zeros(1))


@dataclass(frozen=True)
class Step:
    """One operator as a function of a single real value.

    Attributes:
        node: The operator.
        input: The argument of the function; all other inputs are constants.
        direction: int8, shape (C,) or (1,): -1 on channels where the function is nonincreasing,
            +1 where it is nondecreasing. Shape (1,): the same function on all channels.
        apply: Computes the function, rounded as in torch: float32 (B, C) to float32 (B, C).
        affine: The function in exact arithmetic; None if it is not affine.
    """

    node: ir.Node
    input: ir.Value
    direction: NDArray[np.int8]
    apply: Callable[[Tensor], Tensor]
    affine: Affine | None


def step(value: ir.Value) -> Step | None:
    """The operator that gives a value, as a step; None unless it is monotone on each channel.

    Channels are axis 1.

    Raises:
        UnsupportedError: The operator is a batch norm that `parameters_of` refuses.
    """
    node = value.producer()
    if node is None or node.domain != "" or node.op_type not in _STEPS:
        return None
    return _STEPS[node.op_type](node)


def _unary(
    direction: int, apply: Callable[[Tensor], Tensor], affine: Affine | None = None
) -> Callable[[ir.Node], Step | None]:
    def make(node: ir.Node) -> Step | None:
        return Step(node, operand(node, 0), np.array([direction], np.int8), apply, affine)

    return make


_identity = _unary(1, lambda t: t, IDENTITY)


def _cast(node: ir.Node) -> Step | None:
    return _identity(node) if node.outputs[0].dtype == ir.DataType.FLOAT else None


def _clip(node: ir.Node) -> Step | None:
    limits = [array(value) for value in node.inputs[1:]]
    if any(limit is None and node.inputs[i] is not None for i, limit in enumerate(limits, 1)):
        return None
    low, high, *_ = (*(None if limit is None else float(limit) for limit in limits), None, None)
    if low is None and high is None:
        return _identity(node)
    return _unary(1, lambda t: t.clamp(low, high))(node)


def _batch_norm(node: ir.Node) -> Step | None:
    parameters = parameters_of(node)
    if parameters is None:
        return None
    direction = direction_of(parameters)
    affine = Affine(*exact_scale_and_shift(node, parameters))
    x = operand(node, 0)
    return Step(node, x, direction, lambda t: normalize(node, t, parameters), affine)


def _with_constant(
    apply: Callable[[Tensor, Tensor], Tensor],
    affine: Callable[[NDArray[np.float64], bool], Affine | None],
) -> Callable[[ir.Node], Step | None]:
    """Makes steps with one constant operand c.

    Args:
        apply: Computes the operator.
        affine: Gives the function for c and whether c is the left operand; None if the operator
            is not monotone.
    """

    def make(node: ir.Node) -> Step | None:
        left, right = operand(node, 0), operand(node, 1)
        is_left = array(right) is None
        x, constant = (right, left) if is_left else (left, right)
        c = _for_each_channel(constant, x)
        function = None if c is None else affine(c.astype(np.float64), is_left)
        if c is None or function is None:
            return None
        t = torch.from_numpy(c)
        direction = np.where(function.slope < 0, -1, 1).astype(np.int8)
        return Step(
            node, x, direction, lambda v: apply(t, v) if is_left else apply(v, t), function
        )

    return make


def _for_each_channel(constant: ir.Value, x: ir.Value) -> NDArray[np.float32] | None:
    """A constant operand as (C,) or (1,); None if it varies along another axis."""
    content = array(constant)
    if content is None or content.dtype != np.float32 or content.ndim > rank(x):
        return None
    shape = (1,) * (rank(x) - content.ndim) + content.shape
    is_for_channels = content.size == (shape[1] if len(shape) > 1 else 1)
    return np.array(content, np.float32).reshape(-1) if is_for_channels else None


def _sum(c: NDArray[np.float64], is_left: bool) -> Affine:
    return Affine(np.ones_like(c), c)


def _difference(c: NDArray[np.float64], is_left: bool) -> Affine:
    return Affine(-np.ones_like(c), c) if is_left else Affine(np.ones_like(c), -c)


def _product(c: NDArray[np.float64], is_left: bool) -> Affine:
    return Affine(c, np.zeros_like(c))


def _quotient(c: NDArray[np.float64], is_left: bool) -> Affine | None:
    return None if is_left or (c == 0).any() else Affine(1 / c, np.zeros_like(c))


_STEPS: Final[dict[str, Callable[[ir.Node], Step | None]]] = {
    "Cast": _cast,
    "Identity": _identity,
    "Relu": _unary(1, torch.relu),
    "Neg": _unary(-1, torch.neg, Affine(-np.ones(1), np.zeros(1))),
    "Clip": _clip,
    "Ceil": _unary(1, torch.ceil),
    "Floor": _unary(1, torch.floor),
    "Round": _unary(1, torch.round),
    "Add": _with_constant(torch.add, _sum),
    "Sub": _with_constant(torch.sub, _difference),
    "Mul": _with_constant(torch.mul, _product),
    "Div": _with_constant(torch.div, _quotient),
    "BatchNormalization": _batch_norm,
}
MONOTONE_STEPS: Final = _STEPS.keys()
"""The operators that have a step."""
