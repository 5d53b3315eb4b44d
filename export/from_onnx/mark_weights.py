"""Weights that are +-s, with one s >= 0 for each output channel, become the mark `BinaryWeight`.

1. A two-dimensional `Conv`, a `MatMul` or a `Gemm` with such constant weights, and at least two
   products in each sum, becomes the same layer with a mark of the signs, a `Mul` by s unless all s
   are 1, and an `Add` of the bias. `MatMul` takes the transposed mark, as torch exports it.
2. The alpha of a `Gemm` is merged into s and the signs, its beta into the bias.
3. `auto_pad` becomes explicit pads.
4. Magnitudes in an output channel may differ by the rounding of a straight-through estimator, as
   in (s * sign(w) - c) + c with c = clip(w, -1, 1); s is then their median. A channel with only
   zeros, a dead channel, has s = 0, but not all channels may be dead.
5. Ternary weights (0 and +-s) of a layer on signs are half the sum of two binary weights, one with
   +1 and one with -1 for each 0. The layer becomes an `Add` of two, and a `Mul` by s / 2; exact.
6. Weights that are a + b and a - b, with a and b for each output channel, of a layer on signs are
   a + b s. The layer becomes b times that of the signs s, plus a times the sum of its inputs, a
   binary layer with one output channel of weights +1.

Sums are then scaled once, where the source scales each product. If s is a power of two, the bits
are the same.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.binary_scales import Levels, scales, two_levels
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import KEEPS_ELEMENTS
from bnnkit.export.from_onnx.auto_pad import set_pads
from bnnkit.export.from_onnx.differences import LostRounding, TernaryWeights
from bnnkit.export.from_onnx.products import is_of_signs, new_weight_scale
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    channel_column,
    module_path,
    nodes,
    operand,
    parameter_name,
    real_node,
    replace,
    set_module_path,
)
from bnnkit.export.passes.clean_up import remove_dead

Array = NDArray[np.float32]


@dataclass(frozen=True)
class MarkedWeights:
    """The layers that differ from the source.

    Attributes:
        rounded: Layers with the rounding of rule 4.
        with_zeros: Layers of rule 5.
    """

    rounded: tuple[LostRounding, ...]
    with_zeros: tuple[TernaryWeights, ...]


def mark_weights(graph: ir.Graph) -> MarkedWeights:
    """Run the pass."""
    rounded: list[LostRounding] = []
    with_zeros: list[TernaryWeights] = []
    latents = _Latents(graph)
    for node in nodes(graph, "Conv", "Gemm", "MatMul"):
        weight = _weight(node)
        found = None if weight is None else scales(weight)
        if weight is not None and found is None:
            levels = two_levels(weight) if _can_have_levels(node) else None
            if levels is not None and set_pads(node):
                _replace_levels(graph, node, levels)
            continue
        if weight is None or found is None or not set_pads(node):
            continue
        if found.n_zeros and not is_of_signs(operand(node, 0)):
            continue
        path = module_path(node)
        _replace(graph, node, latents.of(node, weight, has_zeros=found.n_zeros > 0), found.sizes)
        if found.deviation > 0:
            rounded.append(LostRounding(path, found.deviation))
        if found.n_zeros:
            with_zeros.append(TernaryWeights(path, found.n_zeros, weight.size))
    remove_dead(graph)
    return MarkedWeights(tuple(rounded), tuple(with_zeros))


def feeds_binary_layers(value: ir.Value) -> bool:
    """Whether only layers with binary weights read a value, also after pools and reshapes."""
    uses = list(value.uses())
    if not uses or value.is_graph_output():
        return False
    for use in uses:
        node, weight = use.node, array(use.node.inputs[1]) if len(use.node.inputs) > 1 else None
        if node.domain != "" or use.idx != 0:
            return False
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            if weight is None or weight.dtype != np.float32 or weight.ndim < 2:
                return False
            turned = weight.T if _is_turned(node) and weight.ndim == 2 else weight
            if scales(turned) is None and two_levels(turned) is None:
                return False
        elif node.op_type not in (*KEEPS_ELEMENTS, "MaxPool", "Pad") or not feeds_binary_layers(
            node.outputs[0]
        ):
            return False
    return True


class _Latents:
    """Makes the latent weights of layers; layers with the same constant share them."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._known: dict[tuple[ir.Value, bool, bool], tuple[ir.Value, ...]] = {}

    def of(self, node: ir.Node, weight: Array, *, has_zeros: bool) -> tuple[ir.Value, ...]:
        """One latent weight; two if some weights are 0, with +1 and with -1 for them."""
        key = (operand(node, 1), _is_turned(node), bool(_alpha(node) < 0))
        if key not in self._known:
            signs = [np.sign(weight)]
            if has_zeros:
                signs.append(np.where(weight > 0, np.float32(1), np.float32(-1)))
            name = parameter_name(node, "latent")
            self._known[key] = tuple(add_constant(self._graph, name, s) for s in signs)
        return self._known[key]


def _is_turned(node: ir.Node) -> bool:
    """Whether the weights have the shape (I, O)."""
    return node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not node.attributes.get_int("transB", 0)
    )


def _weight(node: ir.Node) -> Array | None:
    """The weights of a layer, (O, I) or (O, I/G, KH, KW); None if they are not constant."""
    content = array(node.inputs[1])
    expected = 4 if node.op_type == "Conv" else 2
    if content is None or content.dtype != np.float32 or content.ndim != expected:
        return None
    if len(node.inputs) > 2 and node.inputs[2] is not None and array(node.inputs[2]) is None:
        return None  # the bias is computed
    if node.attributes.get_int("transA", 0) != 0:
        return None
    content = -content if _alpha(node) < 0 else content
    return content.T if _is_turned(node) else content


def _alpha(node: ir.Node) -> np.float32:
    """The factor alpha of a `Gemm`; 1 for other operators."""
    return np.float32(node.attributes.get_float("alpha", 1.0))


def _replace(graph: ir.Graph, node: ir.Node, latents: tuple[ir.Value, ...], scale: Array) -> None:
    """Rules 1, 2 and 5."""
    y, bias = node.outputs[0], _bias(node)
    layers = [_layer(node, latent) for latent in latents]
    new = [part for layer in layers for part in layer]
    if len(layers) > 1:
        new.append(real_node("Add", [layer[-1].outputs[0] for layer in layers], node, y.shape))
    factor = np.abs(_alpha(node)) * scale / np.float32(len(latents))
    if not (factor == 1).all():
        column = _along_channels(factor, y, node)
        new.append(new_weight_scale(graph, new[-1].outputs[0], column, node))
    if bias is not None:
        content = _along_channels(bias, y, node) if node.op_type == "Conv" else bias
        value = add_constant(graph, parameter_name(node, "bias"), content)
        new.append(real_node("Add", [new[-1].outputs[0], value], node, y.shape))
    replace(graph, node, new)


def _can_have_levels(node: ir.Node) -> bool:
    is_plain = node.attributes.get_int("group", 1) == 1 and _alpha(node) == 1
    return is_plain and is_of_signs(operand(node, 0))


def _replace_levels(graph: ir.Graph, node: ir.Node, levels: Levels) -> None:
    """Rule 6."""
    y, bias = node.outputs[0], _bias(node)
    latents = levels.signs, np.ones((1, *levels.signs.shape[1:]), np.float32)
    products, new = [], []
    for latent, factor in zip(latents, (levels.half, levels.mean), strict=True):
        value = add_constant(graph, parameter_name(node, "latent"), latent)
        layer = _layer(node, value)
        column = _along_channels(factor, y, node)
        product = new_weight_scale(graph, layer[-1].outputs[0], column, node)
        product.outputs[0].shape = y.shape
        if len(latent) == 1 and y.shape is not None:
            channel = 1 if node.op_type == "Conv" else len(y.shape) - 1
            sizes = list(y.shape)
            sizes[channel] = 1
            layer[-1].outputs[0].shape = ir.Shape(sizes)
        new += [*layer, product]
        products.append(product.outputs[0])
    new.append(real_node("Add", products, node, y.shape))
    if bias is not None:
        content = _along_channels(bias, y, node) if node.op_type == "Conv" else bias
        shift = add_constant(graph, parameter_name(node, "bias"), content)
        new.append(real_node("Add", [new[-1].outputs[0], shift], node, y.shape))
    replace(graph, node, new)


def _layer(node: ir.Node, latent: ir.Value) -> list[ir.Node]:
    """The layer with a mark of latent weights; the node that gives the sums is the last."""
    x, y = operand(node, 0), node.outputs[0]
    mark = real_node("BinaryWeight", [latent], node, latent.shape, DOMAIN, {"noise": "none"})
    set_module_path(mark, f"{module_path(node)}.weight")
    if node.op_type == "Conv":
        return [mark, real_node("Conv", [x, mark.outputs[0]], node, y.shape, "", node.attributes)]
    shape = ir.Shape(tuple(latent.shape or ())[::-1])
    turned = real_node("Transpose", mark.outputs, node, shape, "", {"perm": (1, 0)})
    return [mark, turned, real_node("MatMul", [x, turned.outputs[0]], node, y.shape)]


def _along_channels(numbers: Array, y: ir.Value, node: ir.Node) -> Array:
    """Numbers (O,) along the axis of the output channels: 1 for maps, else the last."""
    return channel_column(numbers, y) if node.op_type == "Conv" else numbers


def _bias(node: ir.Node) -> Array | None:
    content = array(node.inputs[2]) if len(node.inputs) > 2 else None
    factor = np.float32(node.attributes.get_float("beta", 1.0))
    return None if content is None else (content * factor).astype(np.float32)
