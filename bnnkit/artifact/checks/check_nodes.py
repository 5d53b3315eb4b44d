"""Checks all nodes of a network before anything of it is computed.

The declarations are those of `operators/`: inputs, attributes and outputs of bnnkit's operators,
one file each, and what `facts.py` adds to ONNX's own schemas. ONNX's shape inference computes the
types of standard operators. Types that the file states must agree with them.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import prod

import onnx

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.budget import Budget
from bnnkit.artifact.checks.own_operator import check_own_operator
from bnnkit.artifact.checks.standard_operator import ALL_OUTPUTS, check_standard_operator
from bnnkit.artifact.checks.values import Values, check_stated, stated_types
from bnnkit.artifact.checks.work import charge
from bnnkit.artifact.format.graph import Graph, Node
from bnnkit.artifact.operators import operator_of
from bnnkit.artifact.operators.operand import ValueType
from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError


def check_nodes(
    artifact: Artifact, computed: Collection[str], budget: Budget
) -> dict[str, ValueType]:
    """Check the nodes of a network in their order.

    Args:
        artifact: The network.
        computed: The kinds of nodes that the caller computes (`Node.kind`).
        budget: Is charged for every value and every product.

    Returns:
        The type of each value. A batch of a free size is FREE_BATCH.

    Raises:
        UnsupportedError: If the caller does not compute a node or one of its options, or the
            network is too large for its file.
        ArtifactError: If a node has unknown attributes or impossible ones, operands of the wrong
            number, type or shape, thresholds out of range, or another type than the file states.
    """
    values, stated = Values(artifact), stated_types(artifact.model)
    budget.spend_values(prod(artifact.graph.input_shape))
    protos = (node for node in artifact.model.graph.node if node.op_type != "Constant")
    for proto, node in zip(protos, artifact.graph.nodes, strict=True):
        if node.kind not in computed:
            raise UnsupportedError(
                f"node {node.name!r} is a {node.kind}, an operator that bnnkit's runtime lacks"
            )
        with _naming(node):
            _check_unused(node, artifact.graph)
            _check(proto, node, values, artifact.graph.opset)
            charge(budget, proto, values)
            values.follow(node)
            for name in node.outputs[:1]:
                if name in stated:
                    check_stated(name, values.types[name], stated[name], values.batch)
    for name in artifact.graph.outputs:
        values.type_of(name)
    return values.types


def _check(proto: onnx.NodeProto, node: Node, values: Values, opset: int) -> None:
    operator = operator_of(proto)
    if operator is None:
        values.add(node, check_standard_operator(proto, values, opset))
    else:
        values.add(node, check_own_operator(operator, proto, values))


def _check_unused(node: Node, graph: Graph) -> None:
    """Check that nothing needs an optional output, such as the places of a MaxPool's maxima."""
    for name in node.outputs[1:] if node.kind not in ALL_OUTPUTS else ():
        if name and (graph.readers(name) or name in graph.outputs):
            raise UnsupportedError(
                f"bnnkit computes its first output alone, but {name!r} is used too: export the"
                " network for inference"
            )


@contextmanager
def _naming(node: Node) -> Iterator[None]:
    """Add the node's name to errors."""
    try:
        yield
    except BnnkitError as error:
        kind = UnsupportedError if isinstance(error, UnsupportedError) else ArtifactError
        raise kind(f"node {node.name!r} ({node.kind}): {error}") from error
