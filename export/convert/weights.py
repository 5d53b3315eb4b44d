"""Weights that are +-s, s >= 0 a number for each output channel, become the mark `BinaryWeight`.

1. `Conv` (two-dimensional), `MatMul` and `Gemm` by such a constant, of two products in a sum at
   least, become that layer by a mark of the signs, `Mul` by s unless all s are 1, and `Add` of the
   bias. `MatMul` is by the transposed mark, as torch writes it.
2. The alpha of a `Gemm` goes into s, its beta into the bias.
3. `auto_pad` becomes the pads that it stands for.

4. Where sizes differ within an output channel by no more than a straight-through estimator's
   rounding, as in (s * sign(w) - c) + c with c = clip(w, -1, 1), s is their median. A channel of
   zeros alone, which training has given up, has s = 0; but not all of them.

Sums are then scaled once, where the source scales each product: the same bits where s is a power
of two.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.convert.rounded import Rounded
from bnnkit.export.convert.scales import new_weight_scale
from bnnkit.export.functions import DOMAIN
from bnnkit.export.graph import (
    add_constant,
    array,
    channel_column,
    module_path,
    nodes,
    operand,
    parameter_name,
    rank,
    real_node,
    replace,
    set_module_path,
)
from bnnkit.export.passes.clean_up import remove_dead

Array = NDArray[np.float32]
_LARGEST_DEVIATION: Final = 2.0**-16
"""Rounding of numbers up to 1 leaves scales down to 2^-9 this exact; no real weights are."""


@dataclass(frozen=True)
class Scales:
    """Of weights (O, ...).

    Attributes:
        sizes: s, float32 (O,).
        deviation: The largest difference of a weight from +-s, relative to s.
    """

    sizes: Array
    deviation: float


def mark_weights(graph: ir.Graph) -> tuple[Rounded, ...]:
    """Run the pass.

    Returns:
        The layers of rule 4 that have such rounding, by their module paths.
    """
    rounded: list[Rounded] = []
    latents: dict[tuple[ir.Value, bool], ir.Value] = {}
    for node in nodes(graph, "Conv", "Gemm", "MatMul"):
        weight = _weight(node)
        scale = None if weight is None else scales(weight)
        if weight is not None and scale is not None and _set_pads(node):
            key = (operand(node, 1), _is_turned(node))
            if key not in latents:
                name = parameter_name(node, "latent")
                latents[key] = add_constant(graph, name, np.sign(weight))
            _replace(graph, node, latents[key], scale.sizes)
            if scale.deviation > 0:
                rounded.append(Rounded(module_path(node), scale.deviation))
    remove_dead(graph)
    return tuple(rounded)


def scales(weight: Array) -> Scales | None:
    """The s of weights (O, ...); None where they are not +-s."""
    sizes = np.abs(weight).reshape(len(weight), -1)
    if sizes.shape[1] < 2 or not sizes.any() or not np.isfinite(sizes).all():
        return None
    middle = np.median(sizes.astype(np.float64), axis=1).astype(np.float32)  # rule 4
    differences = np.abs(sizes - middle[:, None].astype(np.float64)).max(1)
    if (differences > _LARGEST_DEVIATION * middle).any():
        return None
    return Scales(middle, float((differences[middle > 0] / middle[middle > 0]).max()))


def _is_turned(node: ir.Node) -> bool:
    """Whether the weights are (I, O)."""
    return node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not node.attributes.get_int("transB", 0)
    )


def _weight(node: ir.Node) -> Array | None:
    """The weights of a layer, (O, I) or (O, I/G, KH, KW); None where they are not such."""
    content = array(node.inputs[1])
    expected = 4 if node.op_type == "Conv" else 2
    if content is None or content.dtype != np.float32 or content.ndim != expected:
        return None
    if len(node.inputs) > 2 and node.inputs[2] is not None and array(node.inputs[2]) is None:
        return None  # the bias is computed
    if node.op_type == "Gemm" and (
        node.attributes.get_int("transA", 0) != 0 or node.attributes.get_float("alpha", 1.0) <= 0
    ):
        return None
    return content.T if _is_turned(node) else content


def _replace(graph: ir.Graph, node: ir.Node, latent: ir.Value, scale: Array) -> None:
    """Rules 1 and 2."""
    y, bias = node.outputs[0], _bias(node)
    x = operand(node, 0)
    alpha = np.float32(node.attributes.get_float("alpha", 1.0))
    mark = real_node("BinaryWeight", [latent], node, latent.shape, DOMAIN, {"noise": "none"})
    set_module_path(mark, f"{module_path(node)}.weight")
    new = [mark]
    if node.op_type == "Conv":
        layer = real_node("Conv", [x, mark.outputs[0]], node, y.shape, "", node.attributes)
    else:
        shape = ir.Shape(tuple(latent.shape or ())[::-1])
        turned = real_node("Transpose", mark.outputs, node, shape, "", {"perm": (1, 0)})
        layer = real_node("MatMul", [x, turned.outputs[0]], node, y.shape)
        new.append(turned)
    new.append(layer)
    if not (alpha * scale == 1).all():
        column = _along_channels(alpha * scale, y, node)
        new.append(new_weight_scale(graph, layer.outputs[0], column, node))
    if bias is not None:
        content = _along_channels(bias, y, node) if node.op_type == "Conv" else bias
        value = add_constant(graph, parameter_name(node, "bias"), content)
        new.append(real_node("Add", [new[-1].outputs[0], value], node, y.shape))
    replace(graph, node, new)


def _along_channels(numbers: Array, y: ir.Value, node: ir.Node) -> Array:
    """Numbers (O,) along the axis of the output channels: 1 of maps, else the last."""
    return channel_column(numbers, y) if node.op_type == "Conv" else numbers


def _bias(node: ir.Node) -> Array | None:
    content = array(node.inputs[2]) if len(node.inputs) > 2 else None
    factor = np.float32(node.attributes.get_float("beta", 1.0))
    return None if content is None else (content * factor).astype(np.float32)


def _set_pads(node: ir.Node) -> bool:
    """Rule 3; whether the pads could be told."""
    mode = node.attributes.get_string("auto_pad", "NOTSET") if node.op_type == "Conv" else "NOTSET"
    if mode == "NOTSET":
        return True
    x, y, kernel = operand(node, 0), node.outputs[0], operand(node, 1).shape
    if rank(x) != 4 or x.shape is None or y.shape is None or kernel is None:
        return False
    strides = node.attributes.get_ints("strides", (1, 1))
    dilations = node.attributes.get_ints("dilations", (1, 1))
    before, after = [], []
    for axis in (0, 1):
        sizes = (y.shape[2 + axis], x.shape[2 + axis], kernel[2 + axis])
        out, size, taps = (int(str(number)) for number in sizes)
        reach = (out - 1) * strides[axis] + (taps - 1) * dilations[axis] + 1
        total = 0 if mode == "VALID" else max(reach - size, 0)
        small, large = total // 2, total - total // 2
        before.append(large if mode == "SAME_LOWER" else small)
        after.append(small if mode == "SAME_LOWER" else large)
    node.attributes.pop("auto_pad")
    node.attributes["pads"] = ir.AttrInt64s("pads", [*before, *after])
    return True
