"""Linear maps with binary weights become `BinaryConv2d`, `BinaryLinear` or `BinaryWeight`, with packed weights.

1. `Conv` (two-dimensional) of signs with a `BinaryWeight` mark becomes `bnnkit.BinaryConv2d` and
   `Cast` to float32.
2. `Gemm`, or `MatMul` with transposed weights, of signs (N, I) becomes `bnnkit.BinaryLinear` and
   `Cast`.
3. A bias becomes an `Add` behind the cast.
4. Every other `BinaryWeight` mark becomes `bnnkit.BinaryWeight`, which unpacks to real -1.0 and
   +1.0: its layer meets real activations.
5. A weight is +1 iff its latent weight is >= 0. Weights are packed channels last.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.bits import pack_weight
from bnnkit.errors import UnsupportedError
from bnnkit.export.functions import DOMAIN
from bnnkit.export.graph import (
    add_constant,
    array,
    binary_op,
    label,
    module_path,
    new_node,
    nodes,
    produced_by,
    rank,
    replace,
)
from bnnkit.export.passes.signs import dequantized

MAX_FAN_IN: Final = 2**23 - 1
"""Largest number of weights of an output channel, so that sums and thresholds stay below 2^24."""


def lower_binary_layers(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: Latent weights are not constants, hold NaN, or are neither of a linear
            map nor of a two-dimensional convolution; or an output sums up 2^23 products or more.
    """
    weights = _PackedWeights(graph)
    for node in nodes(graph, "Conv"):
        _lower_convolution(graph, node, weights)
    for node in nodes(graph, "Gemm", "MatMul"):
        _lower_linear(graph, node, weights)
    for mark in nodes(graph, "BinaryWeight", domain=DOMAIN):
        if mark.outputs[0].uses() or mark.outputs[0].is_graph_output():
            _unpack(graph, mark, weights)  # rule 4
        else:
            graph.remove(mark, safe=True)


@dataclass
class _PackedWeights:
    """The packed weight of each mark; marks of the same latent weights share one."""

    graph: ir.Graph
    _packed: dict[ir.Value, tuple[ir.Value, tuple[int, ...]]] = field(default_factory=dict)

    def of(self, mark: ir.Node, layer: ir.Node) -> tuple[ir.Value, tuple[int, ...]]:
        """Packed weight and `weight_shape`; `layer` gives the name."""
        latent = mark.inputs[0]
        assert latent is not None
        if latent not in self._packed:
            signs = _channels_last(_signs(latent, mark))
            packed = add_constant(self.graph, f"{module_path(layer)}.weight", pack_weight(signs))
            self._packed[latent] = packed, signs.shape
        return self._packed[latent]


def _signs(latent: ir.Value, mark: ir.Node) -> NDArray[np.int8]:
    content = array(latent)
    if content is None:
        raise UnsupportedError(
            f"expected latent weights of {label(mark)} that are parameters, got computed ones"
        )
    if np.isnan(content).any():
        raise UnsupportedError(
            f"the latent weights of {label(mark)} hold NaN; the training has diverged"
        )
    if content.ndim not in (2, 4):
        raise UnsupportedError(
            f"expected weights of a linear map or of a two-dimensional convolution in {label(mark)}, got shape "
            f"{content.shape}"
        )
    if content[0].size > MAX_FAN_IN:
        raise UnsupportedError(
            f"{label(mark)} sums up {content[0].size} products, more than {MAX_FAN_IN}"
        )
    return np.where(content >= 0, 1, -1).astype(np.int8)  # rule 5


def _channels_last(signs: NDArray[np.int8]) -> NDArray[np.int8]:
    return signs.transpose(0, 2, 3, 1) if signs.ndim == 4 else signs


def _lower_convolution(graph: ir.Graph, node: ir.Node, weights: _PackedWeights) -> None:
    signs, mark = dequantized(node.inputs[0]), binary_op(node.inputs[1], "BinaryWeight")
    if (
        signs is None
        or mark is None
        or rank(signs) != 4
        or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET"
    ):
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


def _transposed_mark(node: ir.Node) -> ir.Node | None:
    """The mark of the weights (O, I), where the node multiplies by their transpose."""
    weight = node.inputs[1]
    if node.op_type == "Gemm":
        factors = (node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0))
        transposed = (node.attributes.get_int("transA", 0), node.attributes.get_int("transB", 0))
        return (
            binary_op(weight, "BinaryWeight")
            if (factors, transposed) == ((1, 1), (0, 1))
            else None
        )
    transpose = produced_by(weight, "Transpose")
    return None if transpose is None else binary_op(transpose.inputs[0], "BinaryWeight")


def _replace_by_sum(
    graph: ir.Graph,
    node: ir.Node,
    op_type: str,
    inputs: list[ir.Value],
    attributes: dict[str, Any],
) -> None:
    shape = node.outputs[0].shape
    layer = new_node(
        op_type,
        inputs,
        source=node,
        dtype=ir.DataType.INT32,
        shape=shape,
        domain=DOMAIN,
        attributes=attributes,
    )
    real = new_node(
        "Cast",
        layer.outputs,
        source=node,
        dtype=ir.DataType.FLOAT,
        shape=shape,
        attributes={"to": ir.DataType.FLOAT},
    )
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    replace(
        graph, node, [layer, real] if bias is None else [layer, real, _add_bias(graph, real, bias)]
    )


def _add_bias(graph: ir.Graph, real: ir.Node, bias: ir.Value) -> ir.Node:
    """Rule 3; the bias is one number for each channel, which is axis 1."""
    total = real.outputs[0]
    content = array(bias)
    if content is None:
        raise UnsupportedError(
            f"expected a bias of {label(real)} that is a parameter, got a computed one"
        )
    column = add_constant(
        graph, f"{module_path(real)}.bias", content.reshape(-1, *[1] * (rank(total) - 2))
    )
    return new_node(
        "Add", [total, column], source=real, dtype=ir.DataType.FLOAT, shape=total.shape
    )


def _unpack(graph: ir.Graph, mark: ir.Node, weights: _PackedWeights) -> None:
    uses = list(mark.outputs[0].uses())
    packed, weight_shape = weights.of(mark, uses[0].node if uses else mark)
    unpacked = new_node(
        "BinaryWeight",
        [packed],
        source=mark,
        dtype=ir.DataType.FLOAT,
        shape=mark.outputs[0].shape,
        domain=DOMAIN,
        attributes={"weight_shape": weight_shape},
    )
    replace(graph, mark, [unpacked])
