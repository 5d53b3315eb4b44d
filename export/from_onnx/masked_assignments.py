"""Masked assignments such as `o[o == 0] = 1` become a `Where`.

1. `ScatterND(o, Transpose(NonZero(mask)), updates)`, where the updates are one constant number,
   becomes `Where(mask, number, o)`. Torch exports the former, whose shapes depend on the values.
"""

from typing import Final

import onnx_ir as ir

from bnnkit.artifact.operators.facts import KEEPS_ELEMENTS
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

_KEEPS_NUMBER: Final = KEEPS_ELEMENTS | {"Expand"}
"""What gives copies of one number alone for one number."""


def lower_masked_assignments(graph: ir.Graph) -> None:
    """Run the pass."""
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
