"""Finds activations with few bits in a graph, and layers over their bit planes.

An artifact holds them in operators that every reader has: signs at each threshold, signs of
alternating sums of these, a binary layer for each plane, and `Mul` and `Add` of the sums
(docs/artifact.md, Activations with few bits). Here each group becomes one node:

    LEVELS      x -> planes             thresholds of all levels
    PLANE_SUM   planes, weight -> total the layers, and the sum of their results

A `LEVELS` that alone reads a total, also behind a factor of -1 and a 2x2 max-pooling, becomes part
of the `PLANE_SUM`. A node keeps the nodes that it replaces, for forms that its kernel lacks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from bnnkit.artifact.format.graph import Graph, Node
from bnnkit.runtime.lowering.fused_pool import is_plain_pool
from bnnkit.runtime.memory.values import Array

LEVELS: Final = "bnnkit.runtime.Levels"
PLANE_SUM: Final = "bnnkit.runtime.PlaneSum"
_FULL: Final = (3, 7, 15)
"""Numbers of thresholds whose signs are combined to bits."""
_MOST_PLANES: Final = 4
_FLOAT: Final = 1
"""ONNX's code of float32."""


def fuse_planes(graph: Graph, *, multiplies: bool) -> Graph:
    """Return the graph with a node for each group.

    Args:
        graph: The network. One with noise stays as it is.
        multiplies: Whether there are kernels that multiply several planes.
    """
    if any(node.kind == "bnnkit.StochasticSign" for node in graph.nodes):
        return graph
    groups = _Groups(graph)
    levels = list(groups.levels())
    sums = list(groups.plane_sums()) if multiplies else []
    if not levels and not sums:
        return graph
    levels += groups.signs_of_totals(sums, levels)
    return _rewritten(graph, _merged(graph, sums, levels))


class _Comparison(NamedTuple):
    """A sign as x >= threshold."""

    x: str
    threshold: Array


class _Sum(NamedTuple):
    """A sum of layers over planes, with the nodes that compute it."""

    total: str
    layers: tuple[Node, ...]
    factors: tuple[int, ...]
    nodes: tuple[Node, ...]


class _Levels(NamedTuple):
    """Planes, with the nodes that compute them from x."""

    x: str
    thresholds: tuple[Array, ...]
    planes: tuple[str, ...]
    nodes: tuple[Node, ...]


class _Groups:
    """Finds groups in a graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def levels(self) -> Iterator[_Levels]:
        """Yield the groups of 3, 7 or 15 thresholds."""
        chains: dict[tuple[str, ...], str] = {}
        for node in self._graph.nodes:
            if node.kind == "bnnkit.Sign" and (terms := self._terms(node.inputs[0])):
                chains[terms] = node.outputs[0]
        used: set[str] = set()
        for terms in sorted(chains, key=len, reverse=True):
            # A higher bit of the level is an alternating sum of some of the same signs.
            if len(terms) in _FULL and not used.intersection(terms):
                found = self._of_terms(terms, chains)
                if found is not None:
                    used.update(terms)
                    yield found

    def _of_terms(
        self, terms: tuple[str, ...], chains: Mapping[tuple[str, ...], str]
    ) -> _Levels | None:
        bits = len(terms).bit_length()
        wanted = [terms[2**bit - 1 :: 2**bit] for bit in range(bits)]
        planes = [w[0] if len(w) == 1 else chains.get(w) for w in wanted]
        compared = self._compared(terms)
        if compared is None or None in planes:
            return None
        names = tuple(plane for plane in planes if plane is not None)
        x, thresholds = compared
        return _Levels(x, thresholds, names, self._between(x, names))

    def signs_of_totals(self, sums: list[_Sum], known: list[_Levels]) -> list[_Levels]:
        """Return the groups of one or two thresholds that are compared with totals."""
        taken = {name for group in known for node in group.nodes for name in node.outputs}
        found = []
        for total in sums:
            x = _behind(self._graph, total.total).name
            names = tuple(
                name
                for reader in self._graph.readers(x)
                for name in self._signs_behind(reader)
                if name not in taken
            )
            compared = self._compared(names) if len(names) in (1, 2) else None
            if compared is not None and compared[0] == x:
                found.append(_Levels(x, compared[1], names, self._between(x, names)))
        return found

    def _signs_behind(self, node: Node) -> Iterator[str]:
        """Yield the signs that a node, or the only node behind it, gives."""
        if node.kind == "bnnkit.Sign":
            yield node.outputs[0]
        elif node.kind in ("Add", "Sub"):
            reader = self._graph.sole_reader(node.outputs[0])
            if reader is not None and reader.kind == "bnnkit.Sign":
                yield reader.outputs[0]

    def _terms(self, name: str) -> tuple[str, ...] | None:
        """Return the signs s_1, s_2, .. of s_1 - s_2 + s_3 ..; None for anything else."""
        terms: list[str] = []
        kinds: list[str] = []
        while (node := self._graph.makers.get(name)) is not None and node.kind in ("Add", "Sub"):
            last = self._signs_of(node.inputs[1])
            if last is None or len(kinds) >= _FULL[-1]:
                return None
            terms.append(last)
            kinds.append(node.kind)
            name = node.inputs[0]
        first = self._signs_of(name)
        alternate = all(kind == ("Sub", "Add")[i % 2] for i, kind in enumerate(kinds[::-1]))
        return (first, *terms[::-1]) if first is not None and kinds and alternate else None

    def _signs_of(self, name: str) -> str | None:
        """Return the signs whose real numbers a value is."""
        node, constants = self._graph.makers.get(name), self._graph.constants
        if node is None or node.kind != "DequantizeLinear" or len(node.inputs) < 3:
            return None
        scale, zero = (constants.get(n) for n in node.inputs[1:3])
        is_plain = scale is not None and zero is not None and scale.ndim == 0 == zero.ndim
        return node.inputs[0] if is_plain and scale == 1 and zero == 1 else None

    def _compared(self, signs: tuple[str, ...]) -> tuple[str, tuple[Array, ...]] | None:
        """Return the x that all signs compare, and their thresholds."""
        each = [list(self._comparisons(name)) for name in signs]
        for x in [comparison.x for comparison in each[0]] if each else []:
            found = [[c.threshold for c in some if c.x == x][:1] for some in each]
            if all(found):
                return x, tuple(thresholds[0] for thresholds in found)
        return None

    def _comparisons(self, sign: str) -> Iterator[_Comparison]:
        """Yield what a sign compares, the farthest value first."""
        node = self._graph.makers.get(sign)
        if node is None or node.kind not in ("bnnkit.Threshold", "bnnkit.Sign"):
            return
        x = node.inputs[0]
        if node.kind == "bnnkit.Threshold":
            threshold = self._graph.constants.get(node.inputs[1])
            if threshold is not None:
                yield _Comparison(x, threshold)
            return
        maker = self._graph.makers.get(x)
        if maker is not None and maker.kind in ("Add", "Sub"):
            number = self._graph.constants.get(maker.inputs[1])
            if number is not None and number.dtype == np.float32 and not np.isnan(number).any():
                threshold = -number if maker.kind == "Add" else number
                # x - infinity is never at least 0, also for an infinite x.
                yield _Comparison(
                    maker.inputs[0], np.where(threshold == np.inf, np.nan, threshold)
                )
        yield _Comparison(x, np.zeros((), np.float32))

    def plane_sums(self) -> Iterator[_Sum]:
        """Yield the largest sums of layers over planes."""
        inner: set[str] = set()
        for node in reversed(self._graph.nodes):
            if node.kind == "Add" and node.outputs[0] not in inner:
                found = self._plane_sum(node)
                if found is not None:
                    inner |= {name for part in found.nodes for name in part.outputs}
                    yield found

    def _plane_sum(self, last: Node) -> _Sum | None:
        layers: list[Node] = []
        factors: list[int] = []
        nodes: list[Node] = []
        name: str | None = last.outputs[0]
        while name is not None:
            add = self._graph.makers.get(name)
            if add is not None and add.kind == "Add" and self._is_inner(add, last):
                nodes.append(add)
                name, part = add.inputs[0], add.inputs[1]
            else:
                part, name = name, None
            scaled = self._scaled_layer(part)
            if scaled is None:
                return None
            layer, factor, between = scaled
            layers.append(layer)
            factors.append(factor)
            nodes += between
        one = layers[0]
        are_alike = all(
            (layer.kind, layer.inputs[1], layer.attributes)
            == (one.kind, one.inputs[1], one.attributes)
            for layer in layers
        )
        if not are_alike or not 2 <= len(layers) <= _MOST_PLANES:
            return None
        if one.attributes.get("group", 1) != 1:
            return None
        return _Sum(last.outputs[0], tuple(layers[::-1]), tuple(factors[::-1]), tuple(nodes[::-1]))

    def _is_inner(self, node: Node, last: Node) -> bool:
        return node is last or self._graph.sole_reader(node.outputs[0]) is not None

    def _scaled_layer(self, name: str) -> tuple[Node, int, list[Node]] | None:
        """Return the layer behind `Mul(Cast(sum), 2^j)` or `Cast(sum)`, with 2^j and the nodes."""
        between: list[Node] = []
        factor = 1
        node = self._only(name)
        if node is not None and node.kind == "Mul":
            number = self._graph.constants.get(node.inputs[1])
            if number is None or number.size != 1 or number.item() not in (1, 2, 4, 8):
                return None
            factor = int(number.item())
            between.append(node)
            node = self._only(node.inputs[0])
        if node is None or node.kind != "Cast" or node.attributes["to"] != _FLOAT:
            return None
        layer = self._only(node.inputs[0])
        if layer is None or layer.kind not in ("bnnkit.BinaryConv2d", "bnnkit.BinaryLinear"):
            return None
        return layer, factor, [*between, node, layer]

    def _only(self, name: str) -> Node | None:
        """Return the maker of a value that only one node reads."""
        return self._graph.makers.get(name) if self._graph.sole_reader(name) is not None else None

    def _between(self, x: str, planes: tuple[str, ...]) -> tuple[Node, ...]:
        """Return the nodes that compute planes from x, in the order of the graph."""
        makers = self._graph.makers
        pending, found = list(planes), set[str]()
        while pending:
            name = pending.pop()
            if name != x and name in makers and makers[name].name not in found:
                found.add(makers[name].name)
                pending += makers[name].inputs
        return tuple(node for node in self._graph.nodes if node.name in found)


class _Behind(NamedTuple):
    """What is between a total and its thresholds.

    Attributes:
        name: The compared value.
        nodes: The nodes up to it.
        before: The factor of each channel, 1 or -1, before the pooling.
        after: That behind the pooling.
        pools: Whether it is a maximum over 2x2 pixels.
    """

    name: str
    nodes: tuple[Node, ...]
    before: Array
    after: Array
    pools: bool


def _behind(graph: Graph, total: str) -> _Behind:
    """Follow the only readers of a total."""
    nodes: list[Node] = []
    sides = [np.ones((), np.float32)]
    name = total
    while (reader := graph.sole_reader(name)) is not None:
        number = graph.constants.get(reader.inputs[1]) if reader.kind == "Mul" else None
        is_side = number is not None and bool((np.abs(number) == 1).all())
        if number is not None and is_side and not (nodes and nodes[-1].kind == "Mul"):
            sides[-1] = number
        elif is_plain_pool(reader) and len(reader.outputs) == 1 and len(sides) == 1:
            sides.append(np.ones((), np.float32))
        else:
            break
        nodes.append(reader)
        name = reader.outputs[0]
    pools = len(sides) > 1
    after = sides[1] if pools else np.ones((), np.float32)
    return _Behind(name, tuple(nodes), sides[0], after, pools)


def _merged(graph: Graph, sums: list[_Sum], levels: list[_Levels]) -> list[Node]:
    """Return the nodes of all groups."""
    nodes: list[Node] = []
    taken: set[str] = set()
    by_x = {group.x: group for group in levels}
    for found in sums:
        behind = _behind(graph, found.total)
        x, group = behind.name, by_x.get(behind.name)
        if group is not None and _is_read_by_alone(graph, x, group):
            taken.add(group.x)
            attributes = {
                "before": behind.before,
                "after": behind.after,
                "pools": behind.pools,
                "thresholds": group.thresholds,
            }
            others = (*behind.nodes, *group.nodes)
            nodes.append(_sum_node(found, group.planes, others, attributes))
        else:
            nodes.append(_sum_node(found, (found.total,), (), {}))
    nodes += [_levels_node(group) for group in levels if group.x not in taken]
    return nodes


def _is_read_by_alone(graph: Graph, x: str, group: _Levels) -> bool:
    """Whether nothing but a group reads a value, which is then not stored."""
    of_group = {node.name for node in group.nodes}
    readers = {node.name for node in graph.readers(x)}
    return x not in graph.outputs and readers <= of_group


def _sum_node(
    found: _Sum, outputs: tuple[str, ...], others: tuple[Node, ...], attributes: dict[str, Any]
) -> Node:
    first = found.layers[0]
    attributes |= {
        "layers": found.layers,
        "shifts": tuple(factor.bit_length() - 1 for factor in found.factors),
        "nodes": (*found.nodes, *others),
    }
    return Node(
        kind=PLANE_SUM,
        name=first.name,
        inputs=(*(layer.inputs[0] for layer in found.layers), first.inputs[1]),
        outputs=outputs,
        attributes=MappingProxyType(attributes),
    )


def _levels_node(found: _Levels) -> Node:
    attributes = {"thresholds": found.thresholds, "nodes": found.nodes}
    return Node(
        kind=LEVELS,
        name=found.nodes[0].name,
        inputs=(found.x,),
        outputs=found.planes,
        attributes=MappingProxyType(attributes),
    )


def _rewritten(graph: Graph, groups: list[Node]) -> Graph:
    """Put each group in a place of its nodes, and leave out what nothing reads any more."""
    position = {node.name: index for index, node in enumerate(graph.nodes)}
    made = {name for group in groups for name in group.outputs}
    placed: dict[int, list[Node]] = {}
    for group in groups:
        # All layers come before what reads the result, and x comes before all planes.
        layers = [position[n.name] for n in group.attributes.get("layers", ())]
        makers = [position[graph.makers[name].name] for name in group.outputs]
        placed.setdefault(max(layers) if layers else min(makers), []).append(group)
    nodes: list[Node] = []
    for index, node in enumerate(graph.nodes):
        nodes += placed.get(index, [])
        if not made.intersection(node.outputs):
            nodes.append(node)
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return replace(graph, nodes=tuple(kept[::-1]))
