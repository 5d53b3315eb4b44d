"""Recognises nodes that only change the shape of values between layers, and means over time."""

import onnx_ir as ir

from bnnkit.export.ir.graph import array, operand, produced_by, rank


def flattens(node: ir.Node) -> bool:
    """Whether a node turns (N, C, ...) into (N, C * ...)."""
    if node.op_type == "Flatten":
        return node.attributes.get_int("axis", 1) == 1
    shape = array(node.inputs[1]) if node.op_type == "Reshape" else None
    sizes = (node.outputs[0].shape or ())[1:]
    # A 0 would copy the length of an axis that moves.
    return shape is not None and len(sizes) == 1 and shape.tolist() == [-1, sizes[0]]


def keeps_order(node: ir.Node) -> bool:
    """Whether a node adds or removes axes of length 1 behind the batch."""
    if node.domain or node.op_type not in ("Squeeze", "Unsqueeze"):
        return False
    axes, n_axes = _axes_of(node), max(rank(operand(node, 0)), rank(node.outputs[0]))
    return axes is not None and all(axis % n_axes for axis in axes)


def adds_height(node: ir.Node) -> bool:
    """Whether a node turns (N, C, L) into (N, C, 1, L)."""
    return node.op_type == "Unsqueeze" and _axes_of(node) in ([2], [-2])


def means_over_time(node: ir.Node) -> bool:
    """Whether a node is the mean over the last of three axes, which it removes."""
    keeps_axes = node.attributes.get_int("keepdims", 1)
    if node.op_type != "ReduceMean" or keeps_axes:
        return False
    given = array(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = node.attributes.get_ints("axes", ()) if given is None else given.tolist()
    return rank(operand(node, 0)) == 3 and list(axes) in ([2], [-1])


def untransposed(x: ir.Value) -> ir.Value | None:
    """The value (N, C, ...) of which x is the transpose with channels last; else None."""
    node = produced_by(x, "Transpose")
    perm = () if node is None else tuple(node.attributes.get_ints("perm", ()))
    is_of_channels = perm in ((0, 2, 1), (0, 2, 3, 1))
    return operand(node, 0) if node is not None and is_of_channels else None


def _axes_of(node: ir.Node) -> list[int] | None:
    axes = array(node.inputs[1]) if len(node.inputs) > 1 else None
    return None if axes is None else axes.tolist()
