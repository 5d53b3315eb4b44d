"""Which signs of an artifact depend on the rounding of real numbers.

Sums of integers are exact, and so are operators that move, choose or compare numbers or round each
of them once (`facts.is_exact`): signs after them are the same bits in every engine. A sum of real
numbers (a float convolution, an average) rounds after each addition, and engines add in different
orders, so the sign of a number near zero may differ. Torch may also round elementwise operations
differently, so for torch every sign of a real number counts. A noisy sign of an integer sum
counts for neither, because its input is the sum cast to a real number.
"""

from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators import gives_sums, is_sign_of_reals, operator_of
from bnnkit.artifact.operators.facts import is_exact

OUTPUT_TOLERANCE: Final = 1e-4
"""The absolute tolerance of real outputs: engines sum in different orders."""
MARGIN: Final = 1e-3
"""How far from zero a number may be for a different sign to be excused as rounding, in units of
the root mean square of its tensor."""

_BEFORE_NOISE = {"Cast", "Identity", "MaxPool", "Mul"}
"""The operators that the exporter writes before a noisy sign of a sum
(export/passes/compare_with_noise.py): cast, pool, multiply by -1 or +1. For such a sign torch
compares exact integers; for any other it uses a rounded input."""


def signs_that_engines_may_round(artifact: Artifact) -> dict[str, str]:
    """Return the signs of sums of real numbers: the name of the signs to that of the numbers."""
    model = artifact.model
    computed = {value.name for value in model.graph.input}
    summed: set[str] = set()
    rounded = {}
    for node in model.graph.node:
        if computed.isdisjoint(node.input):
            continue
        computed.update(node.output)
        if is_sign_of_reals(node):
            if node.input[0] in summed:
                rounded[node.output[0]] = node.input[0]
        elif _passes_rounding_on(node, summed):
            summed.update(node.output)
    return rounded


def _passes_rounding_on(node: onnx.NodeProto, summed: set[str]) -> bool:
    """Whether the outputs of a node depend on how real numbers were summed."""
    takes_summed = not summed.isdisjoint(node.input)
    operator = operator_of(node)
    if operator is None:
        return takes_summed or not is_exact(node)
    return takes_summed and operator.gives == "reals"


def signs_that_torch_may_round(artifact: Artifact) -> set[str]:
    """Return the signs of real numbers, also after pooling or reshaping."""
    model = artifact.model
    signs, integers = set(artifact.signs), _integers(model)
    rounded: set[str] = set()
    for node in model.graph.node:
        moves_signs = node.domain != DOMAIN and node.output[0] in signs
        rounds = is_sign_of_reals(node) and node.input[0] not in integers
        if rounds or (moves_signs and node.input[0] in rounded):
            rounded.add(node.output[0])
    return rounded


def _integers(model: onnx.ModelProto) -> set[str]:
    """Return the values that are integer sums, or maxima or negatives of such, of any dtype."""
    sides = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and (np.abs(numpy_helper.to_array(tensor)) == 1).all()
    }
    integers: set[str] = set()
    for node in model.graph.node:
        keeps = node.op_type in _BEFORE_NOISE and node.input[0] in integers
        if gives_sums(node) or (keeps and sides.issuperset(node.input[1:])):
            integers.add(node.output[0])
    return integers
