"""Which signs of an artifact hang on how real numbers are rounded.

Sums of integers are exact, and elementwise operations have one rounding each, so their signs are
the same bits in every engine. A sum of real numbers (a float convolution, an average) rounds after
each addition, and engines add in different orders: the sign of a number next to zero may then
differ. Torch may round elementwise operations differently too, so for torch every sign of a real
number counts. A noisy sign of a sum counts for neither: its input is the sum as a real number.
"""

import numpy as np
import onnx
from onnx import numpy_helper

from bnnkit.artifact.format import DOMAIN
from bnnkit.artifact.reference import signs_of

_SUMS = {"BinaryConv2d", "BinaryLinear", "IntegerConv2d", "IntegerLinear"}
# One rounding for each element, or none: not one of these sums.
_ELEMENTWISE = {"Abs", "Add", "Cast", "Clip", "DequantizeLinear", "Div", "LeakyRelu", "Max"}
_ELEMENTWISE |= {"Min", "Mul", "Neg", "PRelu", "Relu", "Sqrt", "Sub", "Where"}
_MOVES = {"Concat", "Dropout", "Expand", "Flatten", "Gather", "GlobalMaxPool", "Identity"}
_MOVES |= {"MaxPool", "Pad", "ReduceMax", "Reshape", "Shape", "Slice", "Split", "Squeeze"}
_MOVES |= {"Transpose", "Unsqueeze"}
# From a sum to the real number that a noisy sign of it compares, exactly.
_KEEPS_INTEGERS = {"Cast", "Identity", "MaxPool", "Mul"}


def signs_that_engines_may_round(model: onnx.ModelProto) -> dict[str, str]:
    """The signs of real numbers that were summed: name of the signs to name of the numbers."""
    computed = {value.name for value in model.graph.input}
    summed: set[str] = set()
    rounded = {}
    for node in model.graph.node:
        if computed.isdisjoint(node.input):
            continue
        computed.update(node.output)
        if _is_sign_of_real(node):
            if node.input[0] in summed:
                rounded[node.output[0]] = node.input[0]
        elif node.domain != DOMAIN and (_sums(node) or not summed.isdisjoint(node.input)):
            summed.update(node.output)
    return rounded


def signs_that_torch_may_round(model: onnx.ModelProto) -> set[str]:
    """The signs of real numbers, pooled or reshaped or not."""
    signs, integers = set(signs_of(model)), _integers(model)
    rounded: set[str] = set()
    for node in model.graph.node:
        moves_signs = node.domain != DOMAIN and node.output[0] in signs
        rounds = _is_sign_of_real(node) and node.input[0] not in integers
        if rounds or (moves_signs and node.input[0] in rounded):
            rounded.add(node.output[0])
    return rounded


def _is_sign_of_real(node: onnx.NodeProto) -> bool:
    return bool(node.domain == DOMAIN and node.op_type in ("Sign", "StochasticSign"))


def _integers(model: onnx.ModelProto) -> set[str]:
    """The values that are sums, their maxima and negatives, as real numbers or not."""
    sides = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and (np.abs(numpy_helper.to_array(tensor)) == 1).all()
    }
    integers: set[str] = set()
    for node in model.graph.node:
        makes = node.domain == DOMAIN and node.op_type in _SUMS
        keeps = node.op_type in _KEEPS_INTEGERS and node.input[0] in integers
        if makes or (keeps and sides.issuperset(node.input[1:])):
            integers.add(node.output[0])
    return integers


def _sums(node: onnx.NodeProto) -> bool:
    return node.op_type not in _ELEMENTWISE | _MOVES
