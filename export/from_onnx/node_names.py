"""Describes nodes of a source file in error messages; such nodes often have no name."""

import onnx
import onnx_ir as ir


def named(node: ir.Node | onnx.NodeProto) -> str:
    """`node 'conv1' (Conv)`, or `the node that gives 'y' (Conv)`."""
    if node.name:
        return f"node {node.name!r} ({node.op_type})"
    first = node.outputs[0].name if isinstance(node, ir.Node) else node.output[0]
    return f"the node that gives {first!r} ({node.op_type})"
