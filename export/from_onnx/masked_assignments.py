"""Assignments to parts of a value, such as `o[o == 0] = 1` or `o[:, ::2] = 0`, become a `Where`.

1. `ScatterND(o, Transpose(NonZero(mask)), updates)`, where the updates are one constant number,
   becomes `Where(mask, number, o)`. Torch exports the former, whose shapes depend on the values.
2. `ScatterND` and `ScatterElements` with constant indices and updates that are the same for each
   image become `Where(mask, numbers, o)` with a constant mask.
"""

from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.budget import no_limits
from bnnkit.artifact.fold_node import fold_node
from bnnkit.artifact.operators.facts import KEEPS_ELEMENTS
from bnnkit.export.from_onnx.batch_constants import BatchConstants, are_rows
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    module_path,
    nodes,
    operand,
    produced_by,
    replace,
    set_module_path,
)
from bnnkit.export.passes.clean_up import remove_dead

Array = NDArray[Any]
_KEEPS_NUMBER: Final = KEEPS_ELEMENTS | {"Expand"}
"""What gives copies of one number alone for one number."""


def lower_masked_assignments(graph: ir.Graph) -> None:
    """Run rule 1."""
    for node in nodes(graph, "ScatterND"):
        mask, number = _mask(node.inputs[1]), _number(node.inputs[2])
        if (
            mask is None
            or number is None
            or node.attributes.get_string("reduction", "none") != "none"
        ):
            continue
        content = array(number)
        assert content is not None  # that of `_number`
        one = add_constant(graph, f"{number.name}/number", content.reshape(()))
        chosen = ir.node("Where", [mask, one, operand(node, 0)], name=f"{node.name}/Where")
        chosen.outputs[0].name = f"{node.outputs[0].name}/Where"
        chosen.outputs[0].type = node.outputs[0].type
        set_module_path(chosen, module_path(node))
        replace(graph, node, [chosen])
    remove_dead(graph)


def lower_constant_assignments(graph: ir.Graph, batch: BatchConstants) -> None:
    """Run rule 2; constants are folded."""
    for node in nodes(graph, "ScatterND", "ScatterElements"):
        data, y = operand(node, 0), node.outputs[0]
        indices, updates = batch.both(operand(node, 1)), batch.both(operand(node, 2))
        if array(data) is not None or data.shape is None or indices is None or updates is None:
            continue
        if node.attributes.get_string("reduction", "none") != "none":
            continue
        shapes = tuple(int(str(size)) for size in data.shape), batch.other_shape(data)
        try:
            both = [
                _assigned(node, *given) for given in zip(shapes, indices, updates, strict=True)
            ]
        except Exception:  # the first axis is not the batch; refused later
            continue
        masks, numbers = zip(*both, strict=True)
        if not (are_rows(*masks) and are_rows(*numbers)):
            continue
        mask = add_constant(graph, f"{y.name}/mask", masks[0][:1])
        content = add_constant(graph, f"{y.name}/numbers", numbers[0][:1])
        chosen = ir.node("Where", [mask, content, data], name=f"{node.name}/Where")
        chosen.outputs[0].name, chosen.outputs[0].shape = f"{y.name}/Where", y.shape
        chosen.outputs[0].type = y.type
        set_module_path(chosen, module_path(node))
        replace(graph, node, [chosen])
    remove_dead(graph)


def _assigned(
    node: ir.Node, shape: tuple[int, ...], indices: Array, updates: Array
) -> tuple[Array, Array]:
    """Which elements a node assigns, and the numbers; 0 elsewhere."""
    names = [str(value.name) for value in node.inputs if value is not None]
    fills = [np.full(shape, number, updates.dtype) for number in (0, 1)]
    proto = ir.to_proto(node)
    contents = [dict(zip(names, (fill, indices, updates), strict=True)) for fill in fills]
    # value_sizes.py has checked the sizes.
    zeros, ones = (fold_node(proto, given, no_limits())[0] for given in contents)
    return zeros == ones, zeros


def _mask(indices: ir.Value | None) -> ir.Value | None:
    """The mask whose true elements the indices are; None if they come from no mask."""
    turned = produced_by(indices, "Transpose")
    places = None if turned is None else produced_by(turned.inputs[0], "NonZero")
    if turned is None or places is None or turned.attributes.get_ints("perm", (1, 0)) != (1, 0):
        return None
    return operand(places, 0)


def _number(updates: ir.Value | None) -> ir.Value | None:
    """The constant with one element to which all updates are equal; None if there is none."""
    while updates is not None and array(updates) is None:
        node = updates.producer()
        if node is None or node.domain != "" or node.op_type not in _KEEPS_NUMBER:
            return None
        updates = node.inputs[0]
    content = array(updates)
    return updates if content is not None and content.size == 1 else None
