"""Signs of sums over bit planes compare the integer totals.

1. `total -> g -> MaxPool -> f -> Sign`, with chains g and f of elementwise operators that are
   monotone on each channel, becomes `total -> Mul(side) -> MaxPool -> Mul(side) ->
   Add(-threshold) -> Sign`. The first side is -1 on channels where g decreases, the second where f
   does; a `Mul` by +1 only is left out, as is the pool where there is none.
2. The threshold is found by evaluating f(g(.)) over the integers, as in `fold_thresholds`. Totals
   are integers below 2^24 and the difference of two floats has the right sign, so every engine
   gives the bits of torch.
3. A total is the sum of layers over bit planes (`plane_sums`), or that of a single layer if pools
   follow. All signs of a total share what precedes the thresholds.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.export.analysis.integer_sums import thresholds_on_side
from bnnkit.export.analysis.monotone import Step, step
from bnnkit.export.analysis.plane_sums import PlaneSum, plane_sum
from bnnkit.export.ir.graph import (
    add_constant,
    channel_column,
    nodes,
    operand,
    parameter_name,
    produced_by,
    real_node,
)

Sides = NDArray[np.int8]


@dataclass(frozen=True)
class _Above:
    """What is above a sign, in the order of the graph.

    Attributes:
        source: The total.
        before: The steps of g.
        pools: The pools.
        after: The steps of f.
    """

    source: PlaneSum
    before: list[Step]
    pools: list[ir.Node]
    after: list[Step]


def fold_levels(graph: ir.Graph) -> None:
    """Run the pass.

    Raises:
        UnsupportedError: A value between a total and its sign is NaN or infinite.
    """
    compared = _Compared(graph)
    for sign in nodes(graph, "Sign", domain=DOMAIN):
        found = _above(sign)
        if found is not None and (found.pools or len(found.source.layers) > 1):
            compared.fold(sign, found)


def _above(sign: ir.Node) -> _Above | None:
    """What is above a sign; None if that is not a total with monotone steps and pools."""
    before: list[Step] = []
    pools: list[ir.Node] = []
    after: list[Step] = []
    value = operand(sign, 0)
    while (source := plane_sum(value)) is None:
        pool, link = produced_by(value, "MaxPool"), step(value)
        if link is not None:
            (before if pools else after).append(link)
            value = link.input
        elif pool is not None and len(pool.outputs) == 1 and not before:
            pools.append(pool)
            value = operand(pool, 0)
        else:
            return None
    return _Above(source, before[::-1], pools[::-1], after[::-1])


class _Compared:
    """Replaces the inputs of signs by compared totals; equal parts are computed once."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._known: dict[tuple[object, ...], ir.Value] = {}

    def fold(self, sign: ir.Node, found: _Above) -> None:
        """Rules 1 to 3."""
        bound = found.source.bound
        first, second = _side(found.before, bound), _side(found.after, bound)
        chain = [*found.before, *found.after]
        threshold = thresholds_on_side(sign, chain, bound, first * second)
        x = self._times(found.source.total, first, sign)
        for pool in found.pools:
            x = self._pooled(x, pool, sign)
        x = self._times(x, second, sign)
        column = channel_column(-threshold.astype(np.float32), x)
        limit = add_constant(self._graph, parameter_name(sign, "shift"), column)
        compared = real_node("Add", [x, limit], sign, x.shape)
        self._graph.insert_before(sign, compared)
        sign.replace_input_with(0, compared.outputs[0])

    def _times(self, x: ir.Value, side: Sides, sign: ir.Node) -> ir.Value:
        if (side > 0).all():
            return x
        key = (x, side.tobytes())
        if key not in self._known:
            column = channel_column(side.astype(np.float32), x)
            factor = add_constant(self._graph, parameter_name(sign, "side"), column)
            self._add(key, real_node("Mul", [x, factor], sign, x.shape), sign)
        return self._known[key]

    def _pooled(self, x: ir.Value, pool: ir.Node, before: ir.Node) -> ir.Value:
        key = (x, pool)
        if key not in self._known:
            shape = pool.outputs[0].shape
            self._add(key, real_node("MaxPool", [x], pool, shape, "", pool.attributes), before)
        return self._known[key]

    def _add(self, key: tuple[object, ...], node: ir.Node, before: ir.Node) -> None:
        self._graph.insert_before(before, node)
        self._known[key] = node.outputs[0]


def _side(chain: list[Step], bound: NDArray[np.int64]) -> Sides:
    """The direction of a chain on each channel, (O,)."""
    side = np.ones(len(bound), np.int8)
    for link in chain:
        side = side * link.direction
    return side.astype(np.int8)
