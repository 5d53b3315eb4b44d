"""Replaces `auto_pad` of a convolution by explicit pads."""

import onnx_ir as ir

from bnnkit.export.ir.graph import operand, rank


def set_pads(node: ir.Node) -> bool:
    """Set the pads of a two-dimensional `Conv`; returns False if they depend on unknown sizes."""
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    if node.op_type != "Conv" or mode == "NOTSET":
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
