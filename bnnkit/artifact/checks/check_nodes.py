"""Checks all nodes of a network before anything of it is computed.

The declarations are those of `operators/`: inputs, attributes and outputs of bnnkit's operators,
one file each, and what `facts.py` adds to ONNX's own schemas. ONNX's shape inference computes the
types of standard operators. Types that the file states must agree with them.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import onnx

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.budget import Budget
from bnnkit.artifact.checks.own_operator import check_own_operator
from bnnkit.artifact.checks.standard_operator import ALL_OUTPUTS, check_standard_operator
from bnnkit.artifact.checks.values import Values, check_stated, stated_types
from bnnkit.artifact.checks.work import charge
from bnnkit.artifact.format.graph import Graph, Node
from bnnkit.artifact.operators import operator_of
from bnnkit.artifact.operators.facts import RECURRENT
from bnnkit.artifact.operators.operand import FREE_BATCH, ValueType, shape_text
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
    values = Values(artifact)
    budget.spend_values(artifact.graph.input_numbers)
    for _, _, check in _checks(artifact, computed, budget, values):
        check()
    for name in artifact.graph.outputs:
        values.type_of(name)
    return values.types


def all_faults(artifact: Artifact, computed: Collection[str], budget: Budget) -> list[str]:
    """Return every reason for which a network cannot be computed, in the order of its nodes.

    A node behind one that cannot be computed is passed over. Arguments as in `check_nodes`.
    """
    values, found = Values(artifact), list[str]()
    for node, is_computed, check in _checks(artifact, computed, budget, values):
        is_behind = any(name and name not in values.types for name in node.inputs)
        if is_behind and is_computed:
            continue
        try:
            check()
            _check_batch(node, values, artifact.graph)
        except BnnkitError as error:
            found.append(str(error))
            for name in node.outputs:
                values.types.pop(name, None)
    return found


def _checks(
    artifact: Artifact, computed: Collection[str], budget: Budget, values: Values
) -> Iterator[tuple[Node, bool, Callable[[], None]]]:
    """Yield each node, whether the caller computes its kind, and its check."""
    stated = stated_types(artifact.model)
    protos = (node for node in artifact.model.graph.node if node.op_type != "Constant")
    for proto, node in zip(protos, artifact.graph.nodes, strict=True):
        is_computed = node.kind in computed

        def check(
            proto: onnx.NodeProto = proto, node: Node = node, is_computed: bool = is_computed
        ) -> None:
            if not is_computed:
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

        yield node, is_computed, check


def _check_batch(node: Node, values: Values, graph: Graph) -> None:
    """Check that of all axes of what depends on the images, the first alone is the batch.

    Raises:
        UnsupportedError: If another axis is, or depends on it.
    """
    if not values.depends_on_images(node) or values.batch != FREE_BATCH:
        return
    readers = graph.readers(node.outputs[0])
    is_before_steps = node.kind == "Transpose" and readers
    if node.kind in RECURRENT or (is_before_steps and all(r.kind in RECURRENT for r in readers)):
        return  # these have the time or the direction first
    for name in filter(None, node.outputs):
        shape = values.types[name].shape if name in values.types else (FREE_BATCH,)
        others = [size for size in shape[1:] if size and size % FREE_BATCH == 0]
        if shape[:1] != (FREE_BATCH,) or others:
            raise UnsupportedError(
                f"node {node.name!r} ({node.kind}): expected a result whose first axis alone is"
                f" the batch, got {shape_text(shape)}"
            )


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
