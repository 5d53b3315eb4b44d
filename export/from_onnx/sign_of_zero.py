"""Finds ONNX's own `Sign` operators, which give 0 for 0, whose input can be 0.

An artifact has no third value: 0 becomes +1. This makes no difference if the input of the sign
is a function f of an integer sum c, and f(c) is not 0 for any possible c. f is monotone, so it is
0 on one interval of the integers, and without zero padding all sums are even or all are odd.
A pool makes no difference, as a maximum of values of f is one of them.

Signs that are 0 in every image are not meant: `mask_signs.py` keeps them.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators import layer_kind
from bnnkit.export.analysis.find_thresholds import Thresholds
from bnnkit.export.analysis.integer_sums import largest_sums, sum_layer, thresholds_of
from bnnkit.export.analysis.monotone import Step, step
from bnnkit.export.from_onnx.differences import RemappedZero
from bnnkit.export.ir.graph import nodes, operand, produced_by
from bnnkit.export.passes.lower_signs import sign_record

_LEAST = float(np.nextafter(np.float32(0), np.float32(1)))


def remapped_signs(
    graph: ir.Graph, paths: Mapping[str, NDArray[np.bool_] | None]
) -> tuple[RemappedZero, ...]:
    """The marks of `mark_signs` whose input can be 0, in some images.

    Args:
        graph: A graph with integer sums, before thresholds are folded.
        paths: The module paths that `mark_signs` returned, and the elements that are always 0.

    Raises:
        UnsupportedError: A value between a sum and its sign is NaN or infinite.
    """
    found = []
    for sign in nodes(graph, "Sign", domain=DOMAIN):
        record = sign_record(sign.outputs[0])
        name = "" if record is None else record.name.partition("/")[0]
        if name not in paths:
            continue
        if (kind := _input_that_can_be_zero(sign, paths[name])) is not None:
            found.append(RemappedZero(name, kind))
    return tuple(found)


def _input_that_can_be_zero(sign: ir.Node, zeros: NDArray[np.bool_] | None) -> str | None:
    if zeros is not None and zeros.all():
        return None
    chain, layer = chain_to_sum(sign)
    if layer is None:
        return "a real value"
    can_be_zero = _can_be_zero(sign, chain, layer)
    if zeros is not None and zeros.shape[1] == can_be_zero.size:
        can_be_zero &= ~zeros.all(axis=(0, *range(2, zeros.ndim)))  # by channel
    return "an integer sum" if can_be_zero.any() else None


def chain_to_sum(sign: ir.Node) -> tuple[list[Step], ir.Node | None]:
    """The steps from an integer sum to a sign, without pools, and the layer that gives the sum."""
    chain: list[Step] = []
    value = operand(sign, 0)
    while (above := _above(value)) is not None:
        value, link = above
        chain += [] if link is None else [link]
    return chain[::-1], sum_layer(value)


def _above(value: ir.Value) -> tuple[ir.Value, Step | None] | None:
    """The input of the step or pool that gives a value, and the step; None for other values."""
    pool, link = produced_by(value, "MaxPool"), step(value)
    if pool is not None:
        return operand(pool, 0), None
    return None if link is None else (link.input, link)


def _can_be_zero(sign: ir.Node, chain: list[Step], layer: ir.Node) -> NDArray[np.bool_]:
    """By output channel, (O,)."""
    one = np.ones(1, np.int8)
    above_zero = Step(sign, operand(sign, 0), one, lambda t: t - _LEAST, None)  # >= 0 iff f > 0
    weak = thresholds_of(sign, chain, layer)
    strict = thresholds_of(sign, [*chain, above_zero], layer)
    bound = largest_sums(layer)
    n_zeros = _count(weak, bound) - _count(strict, bound)
    # The zero, if there is only one. If the sides differ, it is at an end of [-K, K], which is
    # a possible sum.
    first = weak.side * weak.threshold.astype(np.int64)
    is_possible = (first % 2 == bound % 2) | (weak.side != strict.side) | has_any_parity(layer)
    return np.asarray((n_zeros > 1) | ((n_zeros == 1) & is_possible))


def _count(thresholds: Thresholds, bound: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of integers of [-K, K] with the sign +1."""
    return bound - thresholds.threshold + 1


def has_any_parity(layer: ir.Node) -> bool:
    """Whether both even and odd sums are possible: with integer weights or zero padding."""
    return layer_kind(layer) != "binary" or any(layer.attributes.get_ints("pads", (0, 0, 0, 0)))
