"""Elementwise operators of a graph, computed for constants and for points on the real line.

`bnnkit.artifact.standard` computes them: with one rounding an operation, as engines do. The
transcendental ones are rounded as NumPy rounds them, which no engine promises to follow.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.standard import OPERATORS, arguments
from bnnkit.artifact.standard.elementwise import ELEMENTWISE
from bnnkit.export.graph import array

Array = NDArray[Any]
Inputs = list[Array | None]

ROUNDINGS: Final = ("Round", "Floor", "Ceil")
"""From real to whole numbers."""
_COMPUTED: Final = ELEMENTWISE.keys() | {"DequantizeLinear"}
"""The second is elementwise too where its scale and zero point are uniform."""


def is_elementwise(node: ir.Node | None) -> bool:
    """Whether a node is one of these, with one output that is used."""
    if node is None or node.domain != "" or node.op_type not in _COMPUTED:
        return False
    is_training = node.op_type == "Dropout" and len(node.inputs) > 2
    return not is_training and not any(value.uses() for value in node.outputs[1:])


def uniform(value: ir.Value | None) -> Array | None:
    """The one number, an array (), that all elements of a constant are; None elsewhere."""
    content = array(value)
    if content is None or content.size == 0 or (content != content.flat[0]).any():
        return None
    return np.asarray(content.flat[0])


def compute(node: ir.Node, inputs: Inputs) -> Array:
    """What a node gives for its inputs; None for one that it does not have."""
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    with np.errstate(all="ignore"):
        return np.asarray(OPERATORS[node.op_type](attributes, *arguments(inputs)))


def evaluate(value: ir.Value, known: Mapping[ir.Value, Array]) -> Array:
    """A value that elementwise operators make of `known` ones and of uniform constants."""
    found: dict[ir.Value, Array] = dict(known)

    def content(wanted: ir.Value) -> Array:
        if wanted not in found:
            node, constant = wanted.producer(), uniform(wanted)
            if constant is not None:
                found[wanted] = constant
            else:
                assert node is not None  # the caller found elementwise operators only
                inputs = [None if x is None else content(x) for x in node.inputs]
                found[wanted] = compute(node, inputs)
        return found[wanted]

    return content(value)
