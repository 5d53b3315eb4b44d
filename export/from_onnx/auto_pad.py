"""Replaces `auto_pad` of convolutions and pools by explicit pads."""

import onnx_ir as ir

from bnnkit.artifact.operators.facts import POOLS
from bnnkit.export.ir.graph import nodes, operand


def explicit_pads(graph: ir.Graph) -> None:
    """Run the pass: every `Conv` and every pool of known sizes gets pads."""
    for node in nodes(graph, "Conv", *POOLS):
        set_pads(node)


def set_pads(node: ir.Node) -> bool:
    """Set the pads of a convolution or a pool; returns False if they depend on unknown sizes."""
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return True
    x, y, kernel = operand(node, 0), node.outputs[0], _kernel(node)
    if x.shape is None or y.shape is None or kernel is None:
        return False
    if not all(isinstance(size, int) for size in (*x.shape[2:], *y.shape[2:], *kernel)):
        return False
    strides = node.attributes.get_ints("strides", (1,) * len(kernel))
    dilations = node.attributes.get_ints("dilations", (1,) * len(kernel))
    before, after = [], []
    for axis, taps in enumerate(kernel):
        out, size = (int(str(shape[2 + axis])) for shape in (y.shape, x.shape))
        reach = (out - 1) * strides[axis] + (int(str(taps)) - 1) * dilations[axis] + 1
        total = 0 if mode == "VALID" else max(reach - size, 0)
        small, large = total // 2, total - total // 2
        before.append(large if mode == "SAME_LOWER" else small)
        after.append(small if mode == "SAME_LOWER" else large)
    node.attributes.pop("auto_pad")
    node.attributes["pads"] = ir.AttrInt64s("pads", [*before, *after])
    return True


def _kernel(node: ir.Node) -> tuple[object, ...] | None:
    """The sizes of a window; None if they are not known."""
    if node.op_type == "Conv":
        shape = operand(node, 1).shape
        return None if shape is None else tuple(shape[2:])
    return tuple(node.attributes.get_ints("kernel_shape", ())) or None
