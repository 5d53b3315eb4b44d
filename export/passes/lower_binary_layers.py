"""Linear maps with binary weights become bnnkit's operators, with packed weights.

1. `Conv` (two-dimensional) of signs with a `BinaryWeight` mark becomes `bnnkit.BinaryConv2d` and
   `Cast` to float32.
2. `Gemm`, or `MatMul` with transposed weights, of signs (N, I) becomes `bnnkit.BinaryLinear` and
   `Cast`.
3. A bias becomes an `Add` behind the cast.
4. Every other `BinaryWeight` mark becomes `bnnkit.BinaryWeight`, which unpacks to real -1.0 and
   +1.0, as the activations of its layer are real numbers.
5. A weight is +1 iff its latent weight is >= 0. Weights are packed channels last; layers with the
   same latent weights share them, and their draws in a stochastic artifact.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import pack_weight
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import (
    add_constant,
    cast_to_real,
    channel_column,
    constant,
    label,
    mark_behind,
    new_node,
    nodes,
    operand,
    parameter_name,
    produced_by,
    rank,
    replace,
)
from bnnkit.export.passes.clean_up import remove_dead
from bnnkit.export.passes.lower_signs import dequantized
from bnnkit.export.passes.noise_model import NoiseModel
from bnnkit.export.passes.packed_weights import set_draws

MAX_FAN_IN: Final = 2**23 - 1
"""Largest number of weights of an output channel; sums and thresholds then stay below 2^24."""


def lower_binary_layers(graph: ir.Graph, noise_model: NoiseModel | None = None) -> None:
    """Run the pass.

    Args:
        graph: The graph to change.
        noise_model: Gives the draws of the weights that the artifact stores.

    Raises:
        UnsupportedError: Latent weights are not constant, hold NaN, or belong neither to a linear
            map nor to a convolution; or an output is a sum of 2^23 products or
            more.
    """
    weights = _PackedWeights(graph, noise_model or NoiseModel())
    for node in nodes(graph, "Conv"):
        _lower_convolution(graph, node, weights)
    for node in nodes(graph, "Gemm", "MatMul"):
        _lower_linear(graph, node, weights)
    remove_dead(graph)
    for mark in nodes(graph, "BinaryWeight", domain=DOMAIN):
        _unpack(graph, mark, weights)


class _PackedWeights:
    """Packs the weights of the marks, once for each constant."""

    def __init__(self, graph: ir.Graph, noise_model: NoiseModel) -> None:
        self._graph = graph
        self._noise_model = noise_model
        self._packed: dict[ir.Value, tuple[ir.Value, tuple[int, ...]]] = {}

    def of(self, mark: ir.Node, layer: ir.Node) -> tuple[ir.Value, tuple[int, ...]]:
        """The packed weight and `weight_shape` of a mark; the weight is named after `layer`."""
        latent = operand(mark, 0)
        if latent not in self._packed:
            signs = _channels_last(_signs(mark))
            name = parameter_name(layer, "weight")
            packed = add_constant(self._graph, name, pack_weight(signs))
            self._add_draws(mark, packed)
            self._packed[latent] = packed, signs.shape
        return self._packed[latent]

    def _add_draws(self, mark: ir.Node, packed: ir.Value) -> None:
        noise = mark.attributes["noise"].as_string()
        if self._noise_model.weight_draws and noise != "none":
            number = len(self._packed)
            draws = self._noise_model.draw_weights(constant(mark, 0), noise, number)
            set_draws(packed, np.stack([pack_weight(_channels_last(draw)) for draw in draws]))


def _channels_last(signs: NDArray[np.int8]) -> NDArray[np.int8]:
    return np.moveaxis(signs, 1, -1)


def _signs(mark: ir.Node) -> NDArray[np.int8]:
    """The weights, int8, values in {-1, +1}, with the axes of torch."""
    content = constant(mark, 0)
    if np.isnan(content).any():
        raise UnsupportedError(
            f"expected numbers as latent weights of {label(mark)}, got NaN; the training "
            "has diverged"
        )
    if content.ndim not in (2, 3, 4, 5):
        raise UnsupportedError(
            f"expected weights of a linear map or a convolution in {label(mark)}, "
            f"got shape {content.shape}"
        )
    if content[0].size > MAX_FAN_IN:
        raise UnsupportedError(
            f"expected at most {MAX_FAN_IN} products in a sum of {label(mark)}, "
            f"got {content[0].size}"
        )
    return np.where(content >= 0, 1, -1).astype(np.int8)  # rule 5


def _lower_convolution(graph: ir.Graph, node: ir.Node, weights: _PackedWeights) -> None:
    signs, mark = dequantized(node.inputs[0]), weight_mark(node)
    if signs is None or mark is None or rank(signs) != 4:
        return
    packed, weight_shape = weights.of(mark, node)
    attributes = {
        "strides": node.attributes.get_ints("strides", (1, 1)),
        "pads": node.attributes.get_ints("pads", (0, 0, 0, 0)),
        "dilations": node.attributes.get_ints("dilations", (1, 1)),
        "group": node.attributes.get_int("group", 1),
        "weight_shape": weight_shape,
    }
    _replace_by_sum(graph, node, "BinaryConv2d", [signs, packed], attributes)


def _lower_linear(graph: ir.Graph, node: ir.Node, weights: _PackedWeights) -> None:
    signs, mark = dequantized(node.inputs[0]), _transposed_mark(node)
    if signs is None or mark is None or rank(signs) != 2:
        return
    packed, weight_shape = weights.of(mark, node)
    _replace_by_sum(graph, node, "BinaryLinear", [signs, packed], {"weight_shape": weight_shape})


def weight_mark(node: ir.Node) -> ir.Node | None:
    """The mark of the binary weights of a standard operator; None if it has none."""
    if node.op_type == "Conv":
        pads_are_written = node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
        return mark_behind(node.inputs[1], "BinaryWeight") if pads_are_written else None
    return _transposed_mark(node) if node.op_type in ("Gemm", "MatMul") else None


def _transposed_mark(node: ir.Node) -> ir.Node | None:
    """The mark of weights (O, I); None unless the node multiplies by their transpose."""
    weight = operand(node, 1)
    if node.op_type == "MatMul":
        transpose = produced_by(weight, "Transpose")
        return None if transpose is None else mark_behind(transpose.inputs[0], "BinaryWeight")
    factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    transposed = [node.attributes.get_int(name, 0) for name in ("transA", "transB")]
    is_plain = factors == [1, 1] and transposed == [0, 1]
    return mark_behind(weight, "BinaryWeight") if is_plain else None


def _replace_by_sum(
    graph: ir.Graph,
    node: ir.Node,
    op_type: str,
    inputs: list[ir.Value],
    attributes: Mapping[str, Any],
) -> None:
    """Rules 1 to 3."""
    layer = new_node(
        op_type,
        inputs,
        source=node,
        dtype=ir.DataType.INT32,
        shape=node.outputs[0].shape,
        domain=DOMAIN,
        attributes=attributes,
    )
    real = cast_to_real(layer.outputs[0], node)
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    replace(
        graph, node, [layer, real, _add_bias(graph, real, node)] if has_bias else [layer, real]
    )


def _add_bias(graph: ir.Graph, real: ir.Node, node: ir.Node) -> ir.Node:
    total = real.outputs[0]
    column = channel_column(constant(node, 2), total)
    inputs = [total, add_constant(graph, parameter_name(node, "bias"), column)]
    return new_node("Add", inputs, source=node, dtype=ir.DataType.FLOAT, shape=total.shape)


def _unpack(graph: ir.Graph, mark: ir.Node, weights: _PackedWeights) -> None:
    users = [use.node for use in mark.outputs[0].uses()]
    packed, weight_shape = weights.of(mark, (users or [mark])[0])
    unpacked = new_node(
        "BinaryWeight",
        [packed],
        source=mark,
        dtype=ir.DataType.FLOAT,
        shape=mark.outputs[0].shape,
        domain=DOMAIN,
        attributes={"weight_shape": weight_shape},
    )
    replace(graph, mark, [unpacked])  # rule 4
