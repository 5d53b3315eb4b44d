"""Evaluates elementwise operators of a graph on constants and on single float32 numbers.

`bnnkit.artifact.standard` computes the operators with one rounding for each operation, as engines
do. Transcendental functions are rounded as in NumPy; engines may differ in them.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.standard import STANDARD_OPERATORS, arguments
from bnnkit.artifact.standard.elementwise import ELEMENTWISE
from bnnkit.export.ir.graph import array

Array = NDArray[Any]
Inputs = list[Array | None]

ROUNDINGS: Final = ("Round", "Floor", "Ceil")
"""Operators that round real numbers to integers."""
_COMPUTED: Final = ELEMENTWISE.keys() | {"DequantizeLinear"}
"""`DequantizeLinear` is elementwise too if its scale and zero point are uniform."""


def is_elementwise(node: ir.Node | None) -> bool:
    """Whether a node is an elementwise operator of which only the first output is used."""
    if node is None or node.domain != "" or node.op_type not in _COMPUTED:
        return False
    is_training = node.op_type == "Dropout" and len(node.inputs) > 2
    return not is_training and not any(value.uses() for value in node.outputs[1:])


def uniform(value: ir.Value | None) -> Array | None:
    """The number, an array (), to which all elements of a constant are equal; else None."""
    content = array(value)
    if content is None or content.size == 0 or (content != content.flat[0]).any():
        return None
    return np.asarray(content.flat[0])


def compute(node: ir.Node, inputs: Inputs) -> Array:
    """Computes a node for its inputs; an input that it does not have is None."""
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    with np.errstate(all="ignore"):
        return np.asarray(STANDARD_OPERATORS[node.op_type](attributes, *arguments(inputs)))


def evaluate(value: ir.Value, known: Mapping[ir.Value, Array]) -> Array:
    """Computes a value from `known` values and uniform constants by elementwise operators."""
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
