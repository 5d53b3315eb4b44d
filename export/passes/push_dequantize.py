"""`DequantizeLinear` moves down through operators that can work on the codes of signs.

1. `DequantizeLinear -> op` becomes `op -> DequantizeLinear` for changes of shape, and for
   `MaxPool`, as the codes 0 and 2 have the same order as -1 and +1.
2. The same holds for `Pad` in every mode; a constant of -1.0 becomes 0, one of +1.0 becomes 2.
   With any other constant the `Pad` stays (an unset constant is 0.0).
3. The same holds for a `Concat` of signs only.
4. `bnnkit.Sign` of signs is removed, as it gives the same signs.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import MOVES_SIGNS_IN_ANY_FORM
from bnnkit.export.ir.graph import array, new_node, replace, shared_constant
from bnnkit.export.passes.lower_signs import dequantize, dequantized

_Inputs = list[ir.Value | None]


def push_dequantize(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in list(graph):
        signs = dequantized(node.inputs[0]) if node.inputs else None
        if signs is None:
            continue
        if (node.domain, node.op_type) == (DOMAIN, "Sign"):
            node.outputs[0].replace_all_uses_with(signs, replace_graph_outputs=True)  # rule 4
            graph.remove(node, safe=True)
        elif node.domain == "" and node.op_type in _ON_SIGNS and len(node.outputs) == 1:
            inputs = _ON_SIGNS[node.op_type](graph, node, signs)
            if inputs is not None:
                _rewrite(graph, node, inputs)


def _rewrite(graph: ir.Graph, node: ir.Node, inputs: _Inputs) -> None:
    on_signs = new_node(
        node.op_type,
        inputs,
        source=node,
        dtype=ir.DataType.UINT8,
        shape=node.outputs[0].shape,
        attributes=node.attributes,
    )
    replace(graph, node, [on_signs, dequantize(graph, on_signs.outputs[0], node)])


def _same(graph: ir.Graph, node: ir.Node, signs: ir.Value) -> _Inputs | None:
    return [signs, *node.inputs[1:]]  # rule 1


def _pad(graph: ir.Graph, node: ir.Node, signs: ir.Value) -> _Inputs | None:
    inputs = [signs, *node.inputs[1:]]
    if node.attributes.get_string("mode", "constant") != "constant":
        return inputs
    constant = array(node.inputs[2]) if len(node.inputs) > 2 else None
    if constant is None or abs(float(constant)) != 1:
        return None
    code = np.array(1 + float(constant), np.uint8)  # rule 2
    inputs[2] = shared_constant(graph, f"signs.padding_{code}", code)
    return inputs


def _concat(graph: ir.Graph, node: ir.Node, signs: ir.Value) -> _Inputs | None:
    inputs: _Inputs = [dequantized(value) for value in node.inputs]
    return None if None in inputs else inputs  # rule 3


_ON_SIGNS: Final[dict[str, Callable[[ir.Graph, ir.Node, ir.Value], _Inputs | None]]] = {
    **dict.fromkeys(MOVES_SIGNS_IN_ANY_FORM, _same),
    "Pad": _pad,
    "Concat": _concat,
}
