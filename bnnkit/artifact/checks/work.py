"""What a node takes of memory and time, counted before it is computed."""

from math import prod
from typing import Final

import numpy as np
import onnx
from onnx import helper

from bnnkit.artifact.budget import Budget
from bnnkit.artifact.checks.values import Values
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.graph_view import attribute
from bnnkit.artifact.operators import operator_of
from bnnkit.artifact.operators.facts import POOLS, RECURRENT, fact_of

_WORD: Final = 64
"""Products of signs that are computed at once."""
_POOLED: Final = 8
"""How many products take as long as one number in the window of a pooling."""
_SAMPLED: Final = 4
"""Pixels along an axis that a place between them is computed of, at most."""
_TAP: Final = 1 << 13
"""How many take as long as one tap of a window in NumPy, besides its numbers."""
_STEP: Final = 1 << 14
"""How many take as long as one step of a recurrent layer, besides its numbers."""
_PAIR: Final = 1 << 9
"""How many take as long as one pair of operands, when the order of an Einsum is chosen."""
_GROUP: Final = 1 << 18
"""How many take as long as the preparation of one group of a convolution."""


def charge(budget: Budget, node: onnx.NodeProto, values: Values) -> None:
    """Count the outputs of a node, its products, and the margins of its input.

    Raises:
        ArtifactError: If the constants become too large.
        UnsupportedError: If the values or the products are too many.
    """
    for name in (name for name in node.output if name in values.types):
        element = helper.tensor_dtype_to_np_dtype(values.types[name].element)
        is_signs = node.domain == DOMAIN and element == np.uint8
        if name in values.constants:
            budget.spend_constants(values.types[name].size * element.itemsize)
        else:
            bits = 1 if is_signs else 8 * element.itemsize
            budget.spend_values(values.numbers(name), bits=bits)
    budget.spend_work(_products(node, values))
    if node.op_type == "Einsum" and len(node.input) > 2:  # products of some operands are stored
        budget.spend_values(_products(node, values))
        budget.spend_work(_PAIR * len(node.input) ** 3)
    if node.op_type in RECURRENT:
        _charge_steps(budget, node, values)
    elif node.op_type == "Col2Im":
        _charge_columns(budget, node, values)
    elif _has_window(node):
        _charge_window(budget, node, values)


def _products(node: onnx.NodeProto, values: Values) -> int:
    operator, fact = operator_of(node), fact_of(node)
    if operator is not None and operator.macs is not None:
        products = operator.macs(values, node)
        return products // _WORD if operator.layer == "binary" else products
    if fact is not None and fact.macs is not None:
        return fact.macs(values, node)
    if node.op_type == "GridSample":
        taps = prod(_SAMPLED for _ in values.shape(node.input[0])[2:])
        return _POOLED * taps * values.numbers(node.output[0])
    if node.op_type in POOLS:
        window = prod(_ints(node, "kernel_shape", ()))
        return _POOLED * window * values.numbers(node.output[0]) + window * _TAP
    return 0


def _has_window(node: onnx.NodeProto) -> bool:
    return node.domain in ("", "ai.onnx", DOMAIN) and any(
        a.name in ("pads", "group", "dilations") and (a.ints or a.i) for a in node.attribute
    )


def _charge_steps(budget: Budget, node: onnx.NodeProto, values: Values) -> None:
    """Count the steps of a recurrent layer, which follow each other in all directions."""
    steps = values.shape(node.input[0])[1 if _ints(node, "layout", (0,))[0] else 0]
    budget.spend_work(_STEP * steps * values.shape(node.input[1])[0])


def _charge_columns(budget: Budget, node: onnx.NodeProto, values: Values) -> None:
    """Count the padded map to which a Col2Im adds its columns."""
    channels, *sizes = values.shape(node.output[0])[1:]
    pads = _ints(node, "pads", (0,) * 2 * len(sizes))
    padded = [size + pads[i] + pads[i + len(sizes)] for i, size in enumerate(sizes)]
    budget.spend_values(channels * prod(padded))
    window = values.known.get(node.input[2])
    if window is not None:
        budget.spend_work(_TAP * int(prod(int(size) for size in window)))


def _charge_window(budget: Budget, node: onnx.NodeProto, values: Values) -> None:
    """Count the padded input, the kinds of border that binary layers tell apart, and groups."""
    shape, pads = values.shape(node.input[0]), _ints(node, "pads", ())
    if any(pads) and len(pads) == 2 * len(shape) - 4:
        half = len(pads) // 2
        padded = [n + pads[i] + pads[i + half] for i, n in enumerate(shape[2:])]
        budget.spend_values(prod(shape[:2]) * prod(padded))
        _charge_borders(budget, node, values, pads)
    (group,) = _ints(node, "group", (1,))
    outputs = values.shape(node.output[0])[1]
    is_depthwise = node.op_type == "Conv" and group == shape[1] == outputs  # a single step
    if group > 1 and not is_depthwise:
        budget.spend_work(group * _GROUP)


def _charge_borders(
    budget: Budget, node: onnx.NodeProto, values: Values, pads: tuple[int, ...]
) -> None:
    operator = operator_of(node)
    if operator is None or operator.layer != "binary":
        return
    outputs, *window, _ = _ints(node, "weight_shape", ())
    strides = _ints(node, "strides", (1, 1))
    cases = 1
    for i, length in enumerate(values.shape(node.output[0])[2:]):
        touched = sum(-(-pads[side] // strides[i]) for side in (i, i + 2))
        cases *= min(length, 1 + touched)
        budget.spend_values(length * window[i])
    budget.spend_values(cases * outputs)
    budget.spend_work(cases * outputs * prod(window))


def _ints(node: onnx.NodeProto, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    found = attribute(node, name, default)
    return tuple(found) if isinstance(found, list | tuple) else (int(str(found)),)
