"""The operators of the domain `bnnkit`, one file each, and facts about ONNX's own in `facts.py`.

A file holds one `Operator` value: schema, facts, body in standard operators, and reference in
NumPy, side by side. To add an operator takes three steps (`tests/test_operator_facts.py` fails
until all are done):

1. add its file here, its line in `OPERATORS` and its row in docs/artifact.md;
2. add its lowering to kernels to the table of `bnnkit/runtime/lowering/lower.py`;
3. add its lowering to TFLite to the table of `bnnkit/export/tflite/lower.py`.

For the exporter to emit it, add a pass to `bnnkit/export/passes/lower.py` too. Engines without a
faster form of it run its body.

A standard operator needs a function in `bnnkit/artifact/standard/` and a fact in `facts.py`
instead of the first; the runtime then runs it in NumPy without a lowering.
"""

from typing import Final, Protocol

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.binary_conv2d import BINARY_CONV2D
from bnnkit.artifact.operators.binary_conv2d_threshold import BINARY_CONV2D_THRESHOLD
from bnnkit.artifact.operators.binary_linear import BINARY_LINEAR
from bnnkit.artifact.operators.binary_mat_mul import BINARY_MAT_MUL
from bnnkit.artifact.operators.binary_weight import BINARY_WEIGHT
from bnnkit.artifact.operators.integer_conv2d import INTEGER_CONV2D
from bnnkit.artifact.operators.integer_linear import INTEGER_LINEAR
from bnnkit.artifact.operators.operator import LayerKind, Operator
from bnnkit.artifact.operators.philox import PHILOX
from bnnkit.artifact.operators.sign import SIGN
from bnnkit.artifact.operators.stochastic_sign import STOCHASTIC_SIGN
from bnnkit.artifact.operators.threshold import THRESHOLD
from bnnkit.artifact.operators.weight_draw import WEIGHT_DRAW

OPERATORS: Final[dict[str, Operator]] = {
    operator.name: operator
    for operator in (
        SIGN,
        THRESHOLD,
        BINARY_CONV2D,
        BINARY_CONV2D_THRESHOLD,
        BINARY_LINEAR,
        BINARY_MAT_MUL,
        INTEGER_CONV2D,
        INTEGER_LINEAR,
        BINARY_WEIGHT,
        STOCHASTIC_SIGN,
        WEIGHT_DRAW,
        PHILOX,
    )
}
"""The operators by name without the domain; files hold their functions in this order."""


class OnnxNode(Protocol):
    """A node of an ONNX graph, as `onnx` or `onnx_ir` has it."""

    @property
    def domain(self) -> str:
        """The domain of its operator, "" for ONNX's own."""

    @property
    def op_type(self) -> str:
        """The name of its operator."""


def operator_of(node: OnnxNode) -> Operator | None:
    """Return the operator of a node; None for a standard operator."""
    return OPERATORS.get(node.op_type) if node.domain == DOMAIN else None


def gives_signs(node: OnnxNode) -> bool:
    """Return whether a node is an operator of bnnkit that computes signs."""
    operator = operator_of(node)
    return operator is not None and operator.gives == "signs"


def is_sign_of_reals(node: OnnxNode) -> bool:
    """Return whether a node is an operator of bnnkit that computes signs of real numbers."""
    operator = operator_of(node)
    return operator is not None and (operator.takes, operator.gives) == ("reals", "signs")


def gives_sums(node: OnnxNode) -> bool:
    """Return whether a node is a layer of bnnkit that computes exact integer sums."""
    operator = operator_of(node)
    return operator is not None and operator.gives == "sums"


def gives_sums_of_channels(node: OnnxNode) -> bool:
    """Return whether a node gives exact sums that are bounded for each output channel.

    So do layers with weights, whose sums can be compared with thresholds.
    """
    operator = operator_of(node)
    return operator is not None and operator.largest_sums is not None


def layer_kind(node: OnnxNode) -> LayerKind | None:
    """Return the kind of a layer of bnnkit; None if the node is not such a layer."""
    operator = operator_of(node)
    return None if operator is None else operator.layer


def is_sampled(node: OnnxNode) -> bool:
    """Return whether a node is an operator of bnnkit whose result depends on the sample."""
    operator = operator_of(node)
    return operator is not None and operator.is_sampled


def operator_of_kind(kind: str) -> Operator | None:
    """Return the operator of a `graph.Node`'s kind such as "bnnkit.Sign"; None if standard."""
    domain, _, name = kind.rpartition(".")
    return OPERATORS.get(name) if domain == DOMAIN else None
