"""Marks of signs become operators of the artifact, and the signs get their names.

1. The mark `Sign(a)`, from real to real numbers, becomes `bnnkit.Sign(a)`, which gives uint8
   signs, and `DequantizeLinear(signs, 1.0, 1)`.
2. In a stochastic artifact a mark with a noise becomes `bnnkit.StochasticSign(a)` instead. Its
   attribute `layer` is its number in the forward pass; `compare_with_noise` adds its other inputs.
3. The value of the signs is named after the module; the second call of a module gives `path#2`.
   Signs with other axes than those of the module are named `path/rows`.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from bnnkit.artifact import sign_axes
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import (
    array,
    label,
    module_path,
    new_node,
    nodes,
    operand,
    produced_by,
    replace,
    shared_constant,
)

_KEY: Final = "bnnkit.signs"
ROWS: Final = "bnnkit.rows"
"""The key of marks whose signs have other axes than those of their module (`batch_first.py`)."""


@dataclass(frozen=True)
class SignRecord:
    """Name and noise of the signs of a `Sign` module.

    Attributes:
        name: The name of the value in the artifact.
        noise: The name of the noise in training.
        is_output: Whether the value is the module's output; False if a pool or a change of shape
            follows that came before the sign in the model.
        has_channels_last: Whether the module's output is (N, ..., C), and the value its map
            (N, C, H, W), as `map_views.CHANNELS_LAST` says.
    """

    name: str
    noise: str
    is_output: bool = True
    has_channels_last: bool = False


def sign_record(value: ir.Value) -> SignRecord | None:
    """The record of a value that holds the signs of a `Sign` module; else None."""
    record = value.meta.get(_KEY)
    return record if isinstance(record, SignRecord) else None


def set_sign_record(value: ir.Value, record: SignRecord) -> None:
    """Record that a value holds the signs of a `Sign` module."""
    value.meta[_KEY] = record


def dequantize(graph: ir.Graph, signs: ir.Value, source: ir.Node) -> ir.Node:
    """Makes a node that turns signs into the real numbers -1.0 and +1.0."""
    scale = shared_constant(graph, "signs.scale", np.array(1, np.float32))
    zero_point = shared_constant(graph, "signs.zero_point", np.array(1, np.uint8))
    inputs = [signs, scale, zero_point]
    real = ir.DataType.FLOAT
    return new_node("DequantizeLinear", inputs, source=source, dtype=real, shape=signs.shape)


def dequantized(value: ir.Value | None) -> ir.Value | None:
    """The signs behind a real value that is `DequantizeLinear(signs, 1.0, 1)`; else None."""
    node = produced_by(value, "DequantizeLinear")
    if node is None or len(node.inputs) != 3:
        return None
    scale, zero_point = array(node.inputs[1]), array(node.inputs[2])
    if scale is None or zero_point is None or zero_point.dtype != np.uint8:
        return None
    return node.inputs[0] if scale.shape == () and scale == 1 and zero_point == 1 else None


def lower_signs(graph: ir.Graph, *, stochastic: bool = False) -> None:
    """Run the pass.

    Args:
        graph: The graph to change.
        stochastic: Whether the artifact stores the noise.

    Raises:
        UnsupportedError: The input of a sign is not float32, or a noisy sign of a stochastic
            artifact does not depend on the network's input.
    """
    calls: Counter[str] = Counter()
    for mark in nodes(graph, "Sign", domain=DOMAIN):
        x = operand(mark, 0)
        if x.dtype != ir.DataType.FLOAT:
            raise UnsupportedError(
                f"expected a float32 input of {label(mark)}, got {x.dtype}; call model.float()"
            )
        if stochastic and is_noisy(mark) and not _depends_on_input(x):
            raise UnsupportedError(
                f"expected no noise in {label(mark)}, which takes the sign of a constant: samples"
                ' draw noise for each input; use noise="none" there, or export with mode'
                " deterministic"
            )
        sign = _sign(mark, x, stochastic and is_noisy(mark))
        path, is_output = module_path(mark) or "sign", not mark.meta.get(ROWS)
        path = path if is_output else f"{path}{sign_axes.ROWS}"
        calls[path] += 1  # rule 3
        name = path if calls[path] == 1 else f"{path}#{calls[path]}"
        noise = mark.attributes["noise"].as_string()
        set_sign_record(sign.outputs[0], SignRecord(name, noise, is_output))
        replace(graph, mark, [sign, dequantize(graph, sign.outputs[0], mark)])  # rule 1


def _depends_on_input(value: ir.Value) -> bool:
    """Whether a value depends on an input of the graph."""
    pending, seen = [value], set[ir.Value]()
    while pending:
        one = pending.pop()
        if one.is_graph_input():
            return True
        node = one.producer()
        if node is not None and one not in seen:
            pending += [operand for operand in node.inputs if operand is not None]
        seen.add(one)
    return False


def is_noisy(mark: ir.Node) -> bool:
    """Whether the sign of a mark has a noise other than "none"."""
    return mark.attributes["noise"].as_string() != "none"


def _sign(mark: ir.Node, x: ir.Value, has_noise: bool) -> ir.Node:
    """Rules 1 and 2."""
    return new_node(
        "StochasticSign" if has_noise else "Sign",
        [x],
        source=mark,
        dtype=ir.DataType.UINT8,
        shape=x.shape,
        domain=DOMAIN,
        attributes={"layer": mark.attributes["call"].as_int()} if has_noise else None,
    )
