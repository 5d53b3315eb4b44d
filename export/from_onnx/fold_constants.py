"""Constant folding: values that depend on constants alone are computed at conversion.

1. An operator whose inputs are all constants is replaced by its result. So are `Shape` and `Size`
   where the shape is known.
2. `CastLike(x, y)` becomes a `Cast` of x to the type of y.
3. `Identity`, `Dropout` in inference, and a `Cast` from float32 to float32 are removed.
4. If the batch of the file is free, each result is computed for two batch sizes. Results that
   differ are recorded, and `batch_constants.py` checks what they are used for.

onnxscript's `fold_constants` is not used, as it gives other artifacts: it leaves operators with
several outputs (`Split` of weights), loses the module of a `CastLike`, and removes each `Reshape`
and `Concat` that changes nothing.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.budget import Budget
from bnnkit.artifact.fold_node import fold_node
from bnnkit.artifact.operators.facts import with_result
from bnnkit.errors import UnsupportedError
from bnnkit.export.from_onnx.batch_constants import BatchConstants
from bnnkit.export.from_onnx.node_names import named
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    module_path,
    nodes,
    operand,
    replace,
    set_module_path,
)
from bnnkit.export.passes.clean_up import remove_dead

Array = NDArray[Any]

_OF_SHAPES: Final = ("Shape", "Size")
_RANDOM: Final = with_result("random")
_SAME: Final = with_result("same")


def fold_constants(graph: ir.Graph, batch: BatchConstants, budget: Budget) -> bool:
    """Run the pass; returns whether a shape is left that is not known yet.

    Args:
        graph: The graph to change.
        batch: The batch size, and the constants that depend on it, to which new ones are added.
        budget: Is charged for constants before they are computed.

    Raises:
        UnsupportedError: An operator of constants cannot be computed, or its result is too large
            for the file.
    """
    for node in nodes(graph, "CastLike"):
        _name_type(graph, node)
    for node in list(graph):
        if _changes_nothing(node):
            node.outputs[0].replace_all_uses_with(operand(node, 0), replace_graph_outputs=True)
            graph.remove(node, safe=False)
        elif (results := _results(node, batch, budget)) is not None:
            for value, (content, other) in zip(node.outputs, results, strict=True):
                folded = add_constant(graph, f"{value.name}/folded", content)
                batch.record(folded, content, other)
                value.replace_all_uses_with(folded, replace_graph_outputs=True)
            graph.remove(node, safe=True)
    remove_dead(graph)
    return any(True for _ in nodes(graph, *_OF_SHAPES))


def _name_type(graph: ir.Graph, node: ir.Node) -> None:
    """Rule 2."""
    like, y = operand(node, 1), node.outputs[0]
    if like.dtype is not None:
        cast = ir.node("Cast", [node.inputs[0]], {"to": like.dtype}, name=node.name)
        cast.outputs[0].name, cast.outputs[0].type = f"{y.name}/Cast", ir.TensorType(like.dtype)
        cast.outputs[0].shape = y.shape
        set_module_path(cast, module_path(node))
        replace(graph, node, [cast])


def _changes_nothing(node: ir.Node) -> bool:
    """Rule 3."""
    x = node.inputs[0] if node.inputs else None
    if node.domain != "" or x is None or x.is_graph_input() or array(x) is not None:
        return False
    if node.op_type == "Cast":
        return x.dtype == ir.DataType.FLOAT == node.attributes["to"].as_int()
    is_training = len(node.inputs) > 2 and node.inputs[2] is not None
    has_mask = len(node.outputs) > 1 and bool(node.outputs[1].uses())
    return node.op_type in _SAME and not is_training and not has_mask


def _results(
    node: ir.Node, batch: BatchConstants, budget: Budget
) -> list[tuple[Array, Array]] | None:
    """Rules 1 and 4: the outputs of a node where they are constant, for two batch sizes."""
    if node.domain != "" or not node.inputs or node.op_type in _RANDOM:
        return None
    if node.op_type in _OF_SHAPES:
        return _of_shape(node, batch)
    contents = {str(value.name): array(value) for value in node.inputs if value is not None}
    has_branch = any(
        attribute.type == ir.AttributeType.GRAPH for attribute in node.attributes.values()
    )
    known = {name: content for name, content in contents.items() if content is not None}
    if has_branch or not known or len(known) < len(contents):
        return None
    results = _computed(node, known, budget)
    if batch.others.keys().isdisjoint(known):
        return list(zip(results, results, strict=True))
    others = {name: batch.others.get(name, content) for name, content in known.items()}
    return list(zip(results, _computed(node, others, budget), strict=True))


def _of_shape(node: ir.Node, batch: BatchConstants) -> list[tuple[Array, Array]] | None:
    """The result of a `Shape` or `Size`, for two batch sizes."""
    x = operand(node, 0)
    if x.shape is None or not all(isinstance(size, int) for size in x.shape):
        return None
    return [(_counted(node, tuple(x.shape)), _counted(node, batch.other_shape(x)))]


def _counted(node: ir.Node, sizes: Sequence[Any]) -> Array:
    if node.op_type == "Size":
        return np.array(prod(sizes), np.int64)
    end = node.attributes.get("end")
    part = slice(node.attributes.get_int("start", 0), None if end is None else end.as_int())
    return np.array(sizes[part], np.int64)


def _computed(node: ir.Node, contents: Mapping[str, Array], budget: Budget) -> list[Array]:
    try:
        return fold_node(ir.to_proto(node), contents, budget)
    except Exception as error:  # the reference's errors have no common class
        raise UnsupportedError(f"cannot compute {named(node)} of constants: {error}") from error
