"""Values that are one of two opposite numbers become the mark `Sign`, times that number.

1. A value that is p where x >= t (or x <= t) and -p elsewhere (`two_valued.py`) becomes the mark,
   and a `Mul` by p unless p is 1. Later nodes are examined first, so the outermost sign counts.
2. x >= t becomes `Sign(Sub(x, t))` and x <= t becomes `Sign(Sub(t, x))`: a float32 difference has
   the right sign, and sign(0) = +1. If t is 0, there is no `Sub` (x <= 0 is `Sign(Neg(x))`).
3. ONNX's own `Sign(x)` becomes the mark, which gives +1 for 0. `sign_of_zero.py` finds out whether
   x can be 0.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.export.from_onnx.differences import LostRounding
from bnnkit.export.from_onnx.move_scales import new_scale
from bnnkit.export.from_onnx.piecewise.comparisons import Comparison
from bnnkit.export.from_onnx.piecewise.elementwise import is_elementwise
from bnnkit.export.from_onnx.two_valued import TwoValued, two_valued
from bnnkit.export.ir.graph import (
    add_constant,
    module_path,
    parameter_name,
    real_node,
    set_module_path,
)
from bnnkit.export.passes.clean_up import remove_dead


@dataclass(frozen=True)
class MarkedSigns:
    """The signs that differ from the source.

    Attributes:
        remapped: The module paths of the marks that give +1 where the source gives 0.
        rounded: Signs with rounding of a straight-through estimator in the source, s + c - c.
    """

    remapped: frozenset[str]
    rounded: tuple[LostRounding, ...]


def mark_signs(graph: ir.Graph) -> MarkedSigns:
    """Run the pass."""
    order = list(graph)
    position = {node: index for index, node in enumerate(order)}
    found: list[tuple[TwoValued, list[ir.Node]]] = []
    for node in reversed(order):
        is_left = node.graph is graph and is_elementwise(node)
        if not is_left or node.outputs[0].dtype != ir.DataType.FLOAT:
            continue
        sign = two_valued(node.outputs[0], position)
        if sign is not None:
            found.append((sign, _replace(graph, sign)))
            remove_dead(graph)
    return _named(found[::-1])


def _named(found: list[tuple[TwoValued, list[ir.Node]]]) -> MarkedSigns:
    """Give the new nodes of each sign a unique module path."""
    used: set[str] = set()
    remapped: set[str] = set()
    rounded: list[LostRounding] = []
    for sign, new in found:
        path = _free_path(new[0], used)
        for node in new:
            set_module_path(node, path)
        if sign.is_remapped:
            remapped.add(path)
        if sign.deviation is not None:
            rounded.append(LostRounding(path, sign.deviation))
    return MarkedSigns(frozenset(remapped), tuple(rounded))


def _replace(graph: ir.Graph, found: TwoValued) -> list[ir.Node]:
    """Replace a sign by the mark; returns the new nodes."""
    y = found.value
    source = y.producer()
    assert source is not None  # `two_valued` recognises outputs of nodes only
    condition = found.condition if found.yes > 0 else found.condition.negated()
    new = _difference(graph, condition, source)
    x = new[-1].outputs[0] if new else condition.x
    mark = real_node("Sign", [x], source, y.shape, DOMAIN, {"noise": "none"})
    new.append(mark)
    if abs(found.yes) != 1:  # rule 1
        new.append(new_scale(graph, mark.outputs[0], np.abs(found.yes), mark))
    graph.insert_before(source, new)
    y.replace_all_uses_with(new[-1].outputs[0], replace_graph_outputs=True)
    return new


def _difference(graph: ir.Graph, condition: Comparison, source: ir.Node) -> list[ir.Node]:
    """Rule 2."""
    x = condition.x
    if not condition.limit.any() and x.shape == source.outputs[0].shape:
        return [] if condition.is_lower else [real_node("Neg", [x], source, x.shape)]
    limit = add_constant(graph, parameter_name(source, "limit"), condition.limit)
    operands = [x, limit] if condition.is_lower else [limit, x]
    return [real_node("Sub", operands, source, source.outputs[0].shape)]


def _free_path(source: ir.Node, used: set[str]) -> str:
    """The module path of a node, with a number if that path is taken."""
    path = module_path(source) or "sign"
    free, number = path, 2
    while free in used:
        free, number = f"{path}_{number}", number + 1
    used.add(free)
    return free
