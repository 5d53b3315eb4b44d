"""Folds shapes that the network computes: they are constants because the batch is fixed."""

import numpy as np
import onnx

from bnnkit.artifact.fold_node import fold_node
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder


def shape(builder: TfliteBuilder, node: Node) -> None:
    """Lower Shape to a constant."""
    whole = (builder.batch, *builder.value(node).shape)
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    builder.source.constants[node.output] = np.array(whole[start:end], np.int64)


def is_constant(builder: TfliteBuilder, node: Node) -> bool:
    """Whether a node of ONNX's own operators with one output has constant inputs only."""
    constants = builder.source.constants
    if "." in node.kind or node.kind == "Split":
        return False
    return all(name in constants for name in node.inputs if name)


def fold(builder: TfliteBuilder, node: Node) -> None:
    """Compute the constant output of a node with constant inputs."""
    proto = onnx.helper.make_node(node.kind, node.inputs, [node.output], **node.attributes)
    (builder.source.constants[node.output],) = fold_node(
        proto, builder.source.constants, builder.source.budget
    )
