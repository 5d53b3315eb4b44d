"""Shapes that the network computes, which are constants here, as the batch is fixed."""

import numpy as np
import onnx

from bnnkit.artifact.fold_node import fold_node
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder


def shape(builder: TfliteBuilder, node: Node) -> None:
    """A constant."""
    whole = (builder.batch, *builder.value(node).shape)
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    builder.source.constants[node.output] = np.array(whole[start:end], np.int64)


def is_constant(builder: TfliteBuilder, node: Node) -> bool:
    """Whether all inputs of a node of the standard domain, with one output, are constants."""
    constants = builder.source.constants
    if "." in node.kind or node.kind == "Split":
        return False
    return all(name in constants for name in node.inputs if name)


def fold(builder: TfliteBuilder, node: Node) -> None:
    """Its output is a constant too."""
    proto = onnx.helper.make_node(node.kind, node.inputs, [node.output], **node.attributes)
    (builder.source.constants[node.output],) = fold_node(proto, builder.source.constants)
