"""A batch that leaves the first axis and comes back stays the first axis.

Networks fold tokens or windows into the batch, (N, T, C) to (N * T, C), or put the time first,
(T, N, C). bnnkit's runtime computes each image alone, so the batch must be the first axis.

1. A value whose batch is at axis k, alone or with other indices (`batch_place.py`), is replaced by
   one with an axis more: the batch first, then the axes of the value, without the batch in axis k.
   So (N * T, C) becomes (N, T, C), and (T, N, C) becomes (N, T, 1, C).
2. Operators between the leaving and the coming back are computed on such values, with their axes
   one further. Those that mix images stay as they are, and are refused later.
3. Convolutions and pools of (N * P, C, H, W) are computed P times, once for each index beside the
   image, with the same weights.
4. Where the batch is first and alone again, the added axis is removed.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import POOLS
from bnnkit.export.ir.graph import (
    add_constant,
    operand,
    parameter_name,
    rank,
)
from bnnkit.export.passes.batch_place import (
    FRONT,
    Place,
    axis_of_batch,
    sizes_of,
    without_batch,
)
from bnnkit.export.passes.batch_rules import ELEMENTWISE, RULES, sign
from bnnkit.export.passes.batch_values import BatchValues, Hint, Result
from bnnkit.export.passes.clean_up import remove_dead
from bnnkit.export.passes.lower_signs import ROWS
from bnnkit.export.passes.repeated_constants import fill

MOST_COPIES: Final = 64
"""The largest P of rule 3."""
_IMAGES: Final = {
    *("Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool", "Resize"),
    *("DepthToSpace", "SpaceToDepth", "GroupNormalization", "InstanceNormalization"),
    *POOLS,
}
_ON_PARTS: Final = ELEMENTWISE | {"BatchNormalization", "Sign"}
"""Operators that are computed for each part, before and behind those of `_IMAGES`."""
_MOVES: Final = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}


def batch_first(
    graph: ir.Graph,
    images: int = 1,
    hint: Hint = lambda value, node: axis_of_batch(value),
    *,
    stochastic: bool = False,
) -> None:
    """Run the pass.

    Args:
        graph: The graph, with the shapes of its values.
        images: The number of images for which shapes are stated that do not name the batch.
        hint: See `batch_values.Hint`.
        stochastic: Whether signs draw noise.

    Raises:
        UnsupportedError: A sign that draws noise is of a value whose batch is not first.
    """
    moved = _BatchFirst(graph, images, hint, stochastic=stochastic)
    for node in list(graph):
        moved.visit(node)
    remove_dead(graph)
    graph.sort()


class _BatchFirst:
    """The pass on a graph."""

    def __init__(self, graph: ir.Graph, images: int, hint: Hint, *, stochastic: bool) -> None:
        self._values = BatchValues(graph, images, hint, stochastic=stochastic)

    def visit(self, node: ir.Node) -> None:
        """Find the place of a node's results, and compute those with another place than first."""
        places = [self._values.places[x] for x in node.inputs if x in self._values.places]
        if node.op_type in ("Expand", "Tile", "ConstantOfShape") and not places:
            fill(self._values, node)
        if not places or node.op_type in ("Shape", "Size"):
            return
        is_front = all(place == FRONT for place in places) and not self._gets_axes(node)
        if is_front and node.op_type not in _MOVES:
            self._values.places.update(dict.fromkeys(node.outputs, FRONT))
        elif self._has_sizes(node):
            results = self._results(node)
            for old, (new, place) in zip(node.outputs, results or (), strict=False):
                self._give(node, old, new, place)

    def _gets_axes(self, node: ir.Node) -> bool:
        """Whether an elementwise operator broadcasts a value of the images to more axes."""
        if node.domain != "" or node.op_type not in ELEMENTWISE or not self._has_sizes(node):
            return False
        wide = rank(node.outputs[0])
        return any(x in self._values.places and rank(x) < wide for x in node.inputs)

    def _has_sizes(self, node: ir.Node) -> bool:
        values = [x for x in (*node.outputs, *node.inputs) if x is not None]
        return all(sizes_of(x, self._values.images) is not None for x in values)

    def _give(self, node: ir.Node, old: ir.Value, new: ir.Value, place: Place) -> None:
        if place != FRONT:
            self._values.places[old], self._values.first[old] = place, new
            return
        if new is not old:  # rule 4
            plain = self._values.reshaped(
                node, new, without_batch(self._values.sizes(old), place)[1:]
            )
            old.replace_all_uses_with(plain, replace_graph_outputs=True)
            self._values.places[plain] = FRONT
        self._values.places[old] = FRONT

    def _results(self, node: ir.Node) -> Sequence[Result] | None:
        parts = self._on_parts(node)
        if parts is not None:
            return parts
        if node.domain == DOMAIN:
            return sign(self._values, node) if node.op_type == "Sign" else None
        if node.domain != "":
            return None
        if node.op_type in _IMAGES:
            return self._on_images(node)
        rule = RULES.get(node.op_type)
        return None if rule is None else rule(self._values, node)

    # Rule 3.

    def _on_images(self, node: ir.Node) -> Sequence[Result] | None:
        x = operand(node, 0)
        place = self._values.places[x]
        if place.axis != 0 or not 1 < place.rest <= MOST_COPIES or len(node.outputs) > 1:
            return None
        if any(other in self._values.places for other in node.inputs[1:]):
            return None
        self._part(x, node)
        return self._on_parts(node)

    def _part(self, x: ir.Value, source: ir.Node) -> None:
        """Compute the parts of a value, from those of what it is computed from if possible."""
        node, place = x.producer(), self._values.places[x]
        if x in self._values.parts:
            return
        if node is not None and node.op_type in _ON_PARTS:
            given = [one for one in node.inputs if one in self._values.places]
            if all(self._values.places[one] == place and rank(one) == rank(x) for one in given):
                for one in given:
                    self._part(one, node)
                if self._on_parts(node) is not None:
                    return
        primed, inner = self._values.primed(x, source), self._values.inner(x)[1:]
        self._values.parts[x] = []
        for index in range(place.rest):
            number = add_constant(
                self._values.graph, parameter_name(source, "index"), np.array(index, np.int64)
            )
            part = self._values.new(
                "Gather", [primed, number], source, inner, {"axis": 1}, x.dtype
            )
            self._values.parts[x].append(part)

    def _on_parts(self, node: ir.Node) -> Sequence[Result] | None:
        """Compute an operator for each part, if all that depends on images is in parts."""
        given = [x for x in node.inputs if x in self._values.places]
        if not all(x in self._values.parts for x in given) or len(node.outputs) > 1:
            return None
        y, place = node.outputs[0], self._values.places[given[0]]
        is_known = node.op_type in _IMAGES | _ON_PARTS
        others = [x for x in node.inputs if x is not None and x not in self._values.places]
        is_elementwise = node.op_type in ELEMENTWISE and node.domain == ""
        has_rows = is_elementwise and any(
            rank(x) == rank(y) and self._values.sizes(x)[0] != 1 for x in others
        )
        if not is_known or has_rows:
            return None
        if node.op_type == "Sign" and node.domain == DOMAIN and self._values.stochastic:
            return None
        sizes = without_batch(self._values.sizes(y), place)[1:]
        parts = []
        for index in range(place.rest):
            inputs = [
                self._values.parts[x][index] if x is not None and x in self._values.places else x
                for x in node.inputs
            ]
            attributes: dict[str, Any] = dict(node.attributes)
            if node.op_type == "Resize":
                self._resize(node, inputs, attributes)
            part = self._values.new(
                node.op_type, inputs, node, sizes, attributes, None, node.domain
            )
            part.producer().meta[ROWS] = True  # type: ignore[union-attr]  # just made
            parts.append(part)
        self._values.parts[y], self._values.places[y] = parts, place
        return []

    def _resize(
        self, node: ir.Node, inputs: list[ir.Value | None], attributes: dict[str, Any]
    ) -> None:
        """Give the part of a `Resize` the sizes of the axes that change, without the batch."""
        is_cropped = len(inputs) > 1 and inputs[1] is not None
        if len(inputs) < 4 or inputs[3] is None or is_cropped or "axes" in attributes:
            return
        before, after = self._values.sizes(operand(node, 0)), self._values.sizes(node.outputs[0])
        axes = [axis for axis in range(1, len(after)) if after[axis] != before[axis]]
        if axes:
            inputs[3] = self._values.constant(node, [after[axis] for axis in axes])
            attributes["axes"] = axes
