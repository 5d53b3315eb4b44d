"""What gives one of two opposite numbers becomes the mark `Sign`, times that number.

1. A value that is p where x >= t, or x <= t, and -p elsewhere (`two_valued.py`), is the mark, and
   `Mul` by p unless p is 1.
2. x >= t is `Sign(Sub(x, t))`, x <= t is `Sign(Sub(t, x))`: a float32 difference has the right
   sign, and sign(0) = +1. Nothing is subtracted where t is 0 (x <= 0 is `Sign(Neg(x))`).
3. A `Sign(x)` of ONNX's own that is left becomes the mark: 0 gives +1. `zeros.py` finds out
   whether x can be 0.
"""

import numpy as np
import onnx_ir as ir

from bnnkit.export.convert.comparisons import Comparison
from bnnkit.export.convert.scales import new_scale
from bnnkit.export.convert.two_valued import TwoValued, of_sign, opposite_numbers
from bnnkit.export.functions import DOMAIN
from bnnkit.export.graph import (
    add_constant,
    module_path,
    nodes,
    operand,
    real_node,
    set_module_path,
)
from bnnkit.export.passes.clean_up import remove_dead


def mark_signs(graph: ir.Graph) -> frozenset[str]:
    """Run the pass.

    Returns:
        The module paths of the marks that stand for a `Sign` of rule 3.
    """
    used: set[str] = set()
    for node in list(graph):
        found = opposite_numbers(node)
        if found is not None:
            _replace(graph, found, used)
    remove_dead(graph)  # each `Sign` that was read with what follows it
    remapped = frozenset(
        _replace(graph, _plain(node), used)
        for node in nodes(graph, "Sign")
        if operand(node, 0).dtype == ir.DataType.FLOAT
    )
    remove_dead(graph)
    return remapped


def _plain(node: ir.Node) -> TwoValued:
    """Rule 3."""
    return of_sign(node.outputs[0], operand(node, 0), np.float32(1))


def _replace(graph: ir.Graph, found: TwoValued, used: set[str]) -> str:
    """Put the mark in the place of a sign; its module path."""
    y = found.value
    source = y.producer()
    assert source is not None  # it is the output of what was recognised
    path = _free_path(source, used)
    condition = found.condition if found.yes > 0 else found.condition.negated()
    inner = _difference(graph, condition, source, path)
    x = inner[-1].outputs[0] if inner else condition.x
    mark = real_node("Sign", [x], source, y.shape, DOMAIN, {"noise": "none"})
    new = [*inner, mark]
    if abs(found.yes) != 1:  # rule 1
        new.append(new_scale(graph, mark.outputs[0], np.abs(found.yes), mark))
    for node in new:
        set_module_path(node, path)
    graph.insert_before(source, new)
    y.replace_all_uses_with(new[-1].outputs[0], replace_graph_outputs=True)
    return path


def _difference(
    graph: ir.Graph, condition: Comparison, source: ir.Node, path: str
) -> list[ir.Node]:
    """Rule 2."""
    x = condition.x
    if not condition.limit.any() and x.shape == source.outputs[0].shape:
        return [] if condition.is_lower else [real_node("Neg", [x], source, x.shape)]
    limit = add_constant(graph, f"{path}.limit", condition.limit)
    operands = [x, limit] if condition.is_lower else [limit, x]
    return [real_node("Sub", operands, source, source.outputs[0].shape)]


def _free_path(source: ir.Node, used: set[str]) -> str:
    """The module path of a node, or a name for it, with a number where that is taken."""
    path = module_path(source) or "sign"
    free, number = path, 2
    while free in used:
        free, number = f"{path}_{number}", number + 1
    used.add(free)
    return free
