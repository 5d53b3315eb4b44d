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

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import BROADCASTS, POOLS, RECURRENT, with_result
from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    label,
    new_node,
    operand,
    parameter_name,
    rank,
)
from bnnkit.export.passes.batch_place import (
    FRONT,
    Place,
    Sizes,
    axis_of_batch,
    place_in,
    sizes_of,
    without_batch,
)
from bnnkit.export.passes.clean_up import remove_dead
from bnnkit.export.passes.lower_signs import ROWS

MOST_COPIES: Final = 64
"""The largest P of rule 3."""
_ELEMENTWISE: Final = BROADCASTS | with_result("exact", "approximate", "same") - {
    "BatchNormalization"
}
_IMAGES: Final = {
    *("Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool", "Resize"),
    *("DepthToSpace", "SpaceToDepth", "GroupNormalization", "InstanceNormalization"),
    *POOLS,
}
_REDUCTIONS: Final = {
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
}
_ON_PARTS: Final = _ELEMENTWISE | {"BatchNormalization", "Sign"}
"""Operators that are computed for each part, before and behind those of `_IMAGES`."""
_MOVES: Final = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}

Hint = Callable[[ir.Value, ir.Node], int | None]
"""Gives the axis of a node's result whose size depends on the batch, if it is known."""
Result = tuple[ir.Value, Place]


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
        hint: See `Hint`.
        stochastic: Whether signs draw noise.

    Raises:
        UnsupportedError: A sign that draws noise is of a value whose batch is not first.
    """
    moved = _Moved(graph, images, hint, stochastic=stochastic)
    for node in list(graph):
        moved.visit(node)
    remove_dead(graph)
    graph.sort()


class _Moved:
    """The places of the batch, and the values that stand for those of other places."""

    def __init__(self, graph: ir.Graph, images: int, hint: Hint, *, stochastic: bool) -> None:
        self._graph, self._images, self._hint = graph, images, hint
        self._stochastic = stochastic
        self._places: dict[ir.Value, Place] = dict.fromkeys(graph.inputs, FRONT)
        self._first: dict[ir.Value, ir.Value] = {}
        self._parts: dict[ir.Value, list[ir.Value]] = {}
        self._count = 0
        self._batch = (graph.inputs[0].shape or ir.Shape([images]))[0]

    def visit(self, node: ir.Node) -> None:
        """Find the place of a node's results, and compute those with another place than first."""
        places = [self._places[x] for x in node.inputs if x in self._places]
        if node.op_type == "Expand" and not places:
            self.fill(node)
        if not places or node.op_type in ("Shape", "Size"):
            return
        if all(place == FRONT for place in places) and node.op_type not in _MOVES:
            self._places.update(dict.fromkeys(node.outputs, FRONT))
        elif all(
            sizes_of(x, self._images) is not None for x in (*node.outputs, *node.inputs) if x
        ):
            results = self._results(node)
            for old, (new, place) in zip(node.outputs, results or (), strict=False):
                self._give(node, old, new, place)

    def _give(self, node: ir.Node, old: ir.Value, new: ir.Value, place: Place) -> None:
        if place != FRONT:
            self._places[old], self._first[old] = place, new
            return
        if new is not old:  # rule 4
            plain = self._reshaped(node, new, without_batch(self._sizes(old), place)[1:])
            old.replace_all_uses_with(plain, replace_graph_outputs=True)
            self._places[plain] = FRONT
        self._places[old] = FRONT

    def _results(self, node: ir.Node) -> Sequence[Result] | None:
        parts = self._on_parts(node)
        if parts is not None:
            return parts
        if node.domain == DOMAIN:
            return self._sign(node) if node.op_type == "Sign" else None
        if node.domain != "":
            return None
        if node.op_type in _ELEMENTWISE:
            return self._elementwise(node)
        if node.op_type in _REDUCTIONS:
            return self._reduction(node)
        rule = _RULES.get(node.op_type)
        return None if rule is None else rule(self, node)

    # What the rules are made of.

    def _sizes(self, x: ir.Value) -> Sizes:
        found = sizes_of(x, self._images)
        assert found is not None  # `visit` has checked it
        return found

    def _inner(self, x: ir.Value) -> Sizes:
        """The sizes of a value for one image."""
        return without_batch(self._sizes(x), self._places[x])

    def _primed(self, x: ir.Value, source: ir.Node) -> ir.Value:
        """The value of rule 1 for a value; that of a value whose batch is first, too."""
        if x not in self._first:
            if x in self._parts:
                self._first[x] = self._joined(x, source)
            else:
                self._first[x] = self._reshaped(source, x, self._inner(x))
        return self._first[x]

    def _new(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        source: ir.Node,
        sizes: Sizes,
        attributes: dict[str, Any] | None = None,
        dtype: ir.DataType | None = None,
        domain: str = "",
    ) -> ir.Value:
        node = new_node(
            op_type,
            inputs,
            source=source,
            dtype=dtype or source.outputs[0].dtype or ir.DataType.FLOAT,
            shape=ir.Shape([self._batch, *sizes]),
            domain=domain,
            attributes=attributes,
        )
        node.name, node.outputs[0].name = self._names(source, op_type)
        self._graph.insert_before(source, node)
        return node.outputs[0]

    def _names(self, source: ir.Node, op_type: str) -> tuple[str, str]:
        self._count += 1
        name = f"{source.name or source.outputs[0].name}/{op_type.lower()}_{self._count}"
        return name, f"{name}/output"

    def _constant(self, source: ir.Node, numbers: Sequence[int]) -> ir.Value:
        return add_constant(
            self._graph, parameter_name(source, "axes"), np.array(numbers, np.int64)
        )

    def _reshaped(self, source: ir.Node, x: ir.Value, sizes: Sizes) -> ir.Value:
        before = x.producer()
        while before is not None and before.op_type == "Reshape" and before.meta.get(ROWS):
            x = operand(before, 0)
            before = x.producer()
        if x in self._places and self._places[x] == FRONT and self._sizes(x)[1:] == sizes:
            return x
        shape = self._constant(source, [-1, *sizes])
        y = self._new("Reshape", [x, shape], source, sizes, dtype=x.dtype)
        y.producer().meta[ROWS] = True  # type: ignore[union-attr]  # it has just been made
        return y

    def _axes(self, node: ir.Node, axes: Sequence[int]) -> list[int]:
        """Axes of a value as those of the value of rule 1."""
        n_axes = rank(operand(node, 0))
        return [axis % n_axes + 1 for axis in axes]

    # The rules of operators.

    def _sign(self, node: ir.Node) -> Sequence[Result]:
        if self._stochastic and node.attributes["noise"].as_string() != "none":
            raise UnsupportedError(
                f"expected the batch as first axis of {label(node)}, which draws noise for each"
                " image: keep the batch first, use noise='none' there, or export with mode"
                " deterministic"
            )
        x = operand(node, 0)
        y = self._new(
            "Sign",
            [self._primed(x, node)],
            node,
            self._inner(x),
            dict(node.attributes),
            None,
            DOMAIN,
        )
        y.producer().meta[ROWS] = True  # type: ignore[union-attr]  # it has just been made
        return [(y, self._places[x])]

    def _elementwise(self, node: ir.Node) -> Sequence[Result] | None:
        y = node.outputs[0]
        aligned = {
            self._places[x].at(self._places[x].axis + rank(y) - rank(x))
            for x in node.inputs
            if x in self._places
        }
        if len(aligned) > 1:
            return None
        (place,) = aligned
        inputs: list[ir.Value | None] = []
        for x in node.inputs:
            if x is None or x not in self._places:
                if x is not None and not self._is_same_for_all(x, place.axis - rank(y)):
                    return None
                inputs.append(x)
            else:
                missing = (1,) * (rank(y) - rank(x))
                primed = self._primed(x, node)
                wide = (*missing, *self._inner(x))
                inputs.append(self._reshaped(node, primed, wide) if missing else primed)
        sizes = without_batch(self._sizes(y), place)
        return [(self._new(node.op_type, inputs, node, sizes, dict(node.attributes)), place)]

    def _is_same_for_all(self, x: ir.Value, axis: int) -> bool:
        """Whether a constant has one number along an axis, counted from the last."""
        sizes = sizes_of(x, self._images)
        return sizes is not None and (-axis > len(sizes) or sizes[axis] == 1)

    def _reduction(self, node: ir.Node) -> Sequence[Result] | None:
        x, y = operand(node, 0), node.outputs[0]
        content = array(node.inputs[1]) if len(node.inputs) > 1 else None
        axes = node.attributes.get_ints("axes", ()) if content is None else content.tolist()
        axes = [axis % rank(x) for axis in axes]
        place = self._places[x]
        if not axes or place.axis in axes:
            return None
        attributes = dict(node.attributes)
        attributes.pop("axes", None)
        keeps = node.attributes.get_int("keepdims", 1)
        after = place.at(place.axis - (0 if keeps else sum(a < place.axis for a in axes)))
        inputs = [self._primed(x, node), self._constant(node, [axis + 1 for axis in axes])]
        sizes = without_batch(self._sizes(y), after)
        return [(self._new(node.op_type, inputs, node, sizes, attributes), after)]

    def _transpose(self, node: ir.Node) -> Sequence[Result]:
        x = operand(node, 0)
        perm = list(node.attributes.get_ints("perm", tuple(reversed(range(rank(x))))))
        place = self._places[x].at(perm.index(self._places[x].axis))
        if self._places[x] == FRONT == place:
            return [(node.outputs[0], FRONT)]
        primed, inner = self._primed(x, node), self._inner(x)
        sizes = tuple(inner[axis] for axis in perm)
        long = [axis for axis in perm if inner[axis] > 1]
        if long == sorted(long):
            return [(self._reshaped(node, primed, sizes), place)]
        attributes = {"perm": (0, *(axis + 1 for axis in perm))}
        return [(self._new("Transpose", [primed], node, sizes, attributes), place)]

    def _reshape(self, node: ir.Node) -> Sequence[Result] | None:
        x, y = operand(node, 0), node.outputs[0]
        hint = self._known_axis(node)
        place = place_in(self._inner(x), self._places[x], self._sizes(y), self._images, hint)
        if place is None or (self._places[x] == FRONT == place):
            return None if place is None else [(y, FRONT)]
        sizes = without_batch(self._sizes(y), place)
        start = self._primed(x, node) if x in self._first or x in self._parts else x
        return [(self._reshaped(node, start, sizes), place)]

    def _known_axis(self, node: ir.Node) -> int | None:
        """The axis that holds the batch after a change of shape, if it is known."""
        x, axis = operand(node, 0), self._places[operand(node, 0)].axis
        if node.op_type == "Flatten":
            return int(axis >= node.attributes.get_int("axis", 1) % (rank(x) + 1))
        if node.op_type == "Reshape":
            return self._hint(node.outputs[0], node)
        content = array(node.inputs[1]) if len(node.inputs) > 1 else None
        if content is None:
            return None
        n_axes = rank(node.outputs[0]) if node.op_type == "Unsqueeze" else rank(x)
        axes = {int(one) % n_axes for one in content}
        if node.op_type == "Squeeze":
            return axis - sum(one < axis for one in axes)
        return [one for one in range(n_axes) if one not in axes][axis]

    def _mat_mul(self, node: ir.Node) -> Sequence[Result] | None:
        left, right, y = operand(node, 0), operand(node, 1), node.outputs[0]
        if min(rank(left), rank(right)) < 2:
            return None
        if left in self._places and right in self._places:
            places = [
                self._places[x].at(self._places[x].axis + rank(y) - rank(x)) for x in (left, right)
            ]
            if places[0] != places[1] or places[0].axis >= rank(y) - 2:
                return None
            if rank(left) != rank(right):
                return None
            place = places[0]
        elif left in self._places:
            place = self._places[left]
            if rank(right) != 2 or place.axis == rank(left) - 1:
                return None
        else:
            place = self._places[right]
            if rank(left) != 2 or place.axis == rank(right) - 2:
                return None
        inputs = [self._primed(x, node) if x in self._places else x for x in (left, right)]
        sizes = without_batch(self._sizes(y), place)
        return [(self._new("MatMul", inputs, node, sizes), place)]

    def _gemm(self, node: ir.Node) -> Sequence[Result] | None:
        x, weight = operand(node, 0), operand(node, 1)
        factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
        is_plain = factors == [1, 1] and not node.attributes.get_int("transA", 0)
        if weight in self._places or self._places.get(x, FRONT).axis != 0 or not is_plain:
            return None
        if node.attributes.get_int("transB", 0):
            weight = self._turned(node, weight)
        sizes = without_batch(self._sizes(node.outputs[0]), self._places[x])
        y = self._new("MatMul", [self._primed(x, node), weight], node, sizes)
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            bias = operand(node, 2)
            if bias in self._places or (rank(bias) == 2 and self._sizes(bias)[0] != 1):
                return None
            y = self._new("Add", [y, bias], node, sizes)
        return [(y, self._places[x])]

    def _turned(self, node: ir.Node, weight: ir.Value) -> ir.Value:
        content = array(weight)
        if content is not None:
            return add_constant(self._graph, f"{weight.name}/turned", content.T)
        turned = new_node(
            "Transpose",
            [weight],
            source=node,
            dtype=ir.DataType.FLOAT,
            shape=ir.Shape(self._sizes(weight)[::-1]),
            attributes={"perm": (1, 0)},
        )
        turned.name, turned.outputs[0].name = self._names(node, "Transpose")
        self._graph.insert_before(node, turned)
        return turned.outputs[0]

    def _along_axis(self, node: ir.Node) -> Sequence[Result] | None:
        """Softmax, LayerNormalization and the like, which combine numbers along an axis."""
        x = operand(node, 0)
        axis = node.attributes.get_int("axis", -1) % rank(x)
        place = self._places[x]
        if place.axis == axis or (node.op_type == "LayerNormalization" and place.axis > axis):
            return None
        if len(node.outputs) > 1 or any(other in self._places for other in node.inputs[1:]):
            return None
        inputs = [self._primed(x, node), *node.inputs[1:]]
        attributes = dict(node.attributes) | {"axis": axis + 1}
        return [(self._new(node.op_type, inputs, node, self._inner(x), attributes), place)]

    def _batch_norm(self, node: ir.Node) -> Sequence[Result] | None:
        x = operand(node, 0)
        place, inner = self._places[x], self._inner(x)
        if place.axis == 1 or len(node.outputs) > 1 or rank(x) < 2:
            return None
        perm = [0, 2, 1, *range(3, rank(x) + 1)]
        turned_sizes = (inner[1], inner[0], *inner[2:])
        turned = self._new(
            "Transpose", [self._primed(x, node)], node, turned_sizes, {"perm": perm}
        )
        inputs = [turned, *node.inputs[1:]]
        attributes = dict(node.attributes)
        y = self._new("BatchNormalization", inputs, node, turned_sizes, attributes)
        return [(self._new("Transpose", [y], node, inner, {"perm": perm}), place)]

    def _concat(self, node: ir.Node) -> Sequence[Result] | None:
        places = {self._places.get(x) if x is not None else None for x in node.inputs}
        axis = node.attributes["axis"].as_int() % rank(node.outputs[0])
        (place, *others) = places
        if others or place is None or place.axis == axis:
            return None
        inputs = [self._primed(operand(node, i), node) for i in range(len(node.inputs))]
        sizes = without_batch(self._sizes(node.outputs[0]), place)
        return [(self._new("Concat", inputs, node, sizes, {"axis": axis + 1}), place)]

    def _split(self, node: ir.Node) -> Sequence[Result] | None:
        x = operand(node, 0)
        place, axis = self._places[x], node.attributes.get_int("axis", 0) % rank(x)
        if axis == place.axis:
            return None
        results: list[Result] = []
        start = 0
        for y in node.outputs:
            end = start + self._sizes(y)[axis]
            bounds = [self._constant(node, [number]) for number in (start, end, axis + 1)]
            sizes = without_batch(self._sizes(y), place)
            results.append(
                (self._new("Slice", [self._primed(x, node), *bounds], node, sizes), place)
            )
            start = end
        return results

    def _slice(self, node: ir.Node) -> Sequence[Result] | None:
        x, y = operand(node, 0), node.outputs[0]
        place = self._places[x]
        given = [array(value) for value in node.inputs[1:]]
        if any(content is None for content in given):
            return None
        axes = given[2].tolist() if len(given) > 2 else list(range(len(given[0])))  # type: ignore[union-attr,arg-type]
        axes = [axis % rank(x) for axis in axes]
        if place.axis in axes:
            return None
        moved = self._constant(node, [axis + 1 for axis in axes])
        inputs = [self._primed(x, node), *node.inputs[1:3], moved, *node.inputs[4:]]
        sizes = without_batch(self._sizes(y), place)
        return [(self._new("Slice", inputs, node, sizes), place)]

    def _gather(self, node: ir.Node) -> Sequence[Result] | None:
        x, indices, y = operand(node, 0), operand(node, 1), node.outputs[0]
        axis = node.attributes.get_int("axis", 0) % max(1, rank(x))
        if x not in self._places or indices in self._places or self._places[x].axis == axis:
            return None
        place = self._places[x]
        after = place.at(place.axis + (rank(indices) - 1 if place.axis > axis else 0))
        sizes = without_batch(self._sizes(y), after)
        inputs = [self._primed(x, node), indices]
        return [(self._new("Gather", inputs, node, sizes, {"axis": axis + 1}), after)]

    def _recurrent(self, node: ir.Node) -> Sequence[Result] | None:
        """LSTM, GRU and RNN, of which all values but the constants have the batch as axis 1.

        They stay as they are, between transpositions from and to values with the batch first.
        """
        states = [x for x in node.inputs[5:7] if x is not None]
        given = [operand(node, 0), *states]
        is_plain = all(self._places.get(x) == Place(1) for x in given)
        layout = node.attributes.get_int("layout", 0)
        if not is_plain or layout == 1:
            return None
        turned: dict[ir.Value, ir.Value] = {}
        for x in given:
            before, _, behind = self._inner(x)
            flat = self._reshaped(node, self._primed(x, node), (before, behind))
            turned[x] = self._new("Transpose", [flat], node, (), {"perm": (1, 0, 2)}, x.dtype)
            turned[x].shape = x.shape
        layer = ir.node(
            node.op_type,
            [turned.get(x, x) if x is not None else None for x in node.inputs],
            dict(node.attributes),
            num_outputs=len(node.outputs),
            name=self._names(node, node.op_type)[0],
        )
        layer.metadata_props.update(node.metadata_props)
        self._graph.insert_before(node, layer)
        results: list[Result] = []
        for old, new in zip(node.outputs, layer.outputs, strict=True):
            place = Place(rank(old) - 2)
            new.name, new.shape, new.dtype = f"{old.name}/steps", old.shape, ir.DataType.FLOAT
            order = (place.axis, *(i for i in range(rank(old)) if i != place.axis))
            inner = self._sizes(old)
            sizes = tuple(inner[i] for i in order[1:])
            first = self._new("Transpose", [new], node, sizes, {"perm": order}, new.dtype)
            results.append((self._reshaped(node, first, without_batch(inner, place)), place))
        return results

    def fill(self, node: ir.Node) -> None:
        """A constant repeated for a batch that is not first, such as a state before all steps."""
        y, content = node.outputs[0], array(node.inputs[0])
        axis = axis_of_batch(y)
        if content is None or content.size != 1 or axis in (None, 0):
            return
        if sizes_of(y, self._images) is None:
            return
        place = Place(axis)
        sizes = without_batch(self._sizes(y), place)
        count = self._new(
            "Shape", [self._graph.inputs[0]], node, (), {"start": 0, "end": 1}, ir.DataType.INT64
        )
        others = self._constant(node, sizes)
        shape = self._new("Concat", [count, others], node, (), {"axis": 0}, ir.DataType.INT64)
        count.shape, shape.shape = ir.Shape([1]), ir.Shape([1 + len(sizes)])
        self._places[y] = place
        self._first[y] = self._new("Expand", [node.inputs[0], shape], node, sizes)

    # Rule 3.

    def _on_images(self, node: ir.Node) -> Sequence[Result] | None:
        x = operand(node, 0)
        place = self._places[x]
        if place.axis != 0 or not 1 < place.rest <= MOST_COPIES or len(node.outputs) > 1:
            return None
        if any(other in self._places for other in node.inputs[1:]):
            return None
        self._part(x, node)
        return self._on_parts(node)

    def _part(self, x: ir.Value, source: ir.Node) -> None:
        """Compute the parts of a value, from those of what it is computed from if possible."""
        node, place = x.producer(), self._places[x]
        if x in self._parts:
            return
        if node is not None and node.op_type in _ON_PARTS:
            given = [one for one in node.inputs if one in self._places]
            if all(self._places[one] == place and rank(one) == rank(x) for one in given):
                for one in given:
                    self._part(one, node)
                if self._on_parts(node) is not None:
                    return
        primed, inner = self._primed(x, source), self._inner(x)[1:]
        self._parts[x] = []
        for index in range(place.rest):
            number = add_constant(
                self._graph, parameter_name(source, "index"), np.array(index, np.int64)
            )
            part = self._new("Gather", [primed, number], source, inner, {"axis": 1}, x.dtype)
            self._parts[x].append(part)

    def _on_parts(self, node: ir.Node) -> Sequence[Result] | None:
        """Compute an operator for each part, if all that depends on images is in parts."""
        given = [x for x in node.inputs if x in self._places]
        if not all(x in self._parts for x in given) or len(node.outputs) > 1:
            return None
        y, place = node.outputs[0], self._places[given[0]]
        is_known = node.op_type in _IMAGES | _ON_PARTS
        others = [x for x in node.inputs if x is not None and x not in self._places]
        is_elementwise = node.op_type in _ELEMENTWISE and node.domain == ""
        has_rows = is_elementwise and any(
            rank(x) == rank(y) and self._sizes(x)[0] != 1 for x in others
        )
        if not is_known or has_rows:
            return None
        if node.op_type == "Sign" and node.domain == DOMAIN and self._stochastic:
            return None
        sizes = without_batch(self._sizes(y), place)[1:]
        parts = []
        for index in range(place.rest):
            inputs = [
                self._parts[x][index] if x is not None and x in self._places else x
                for x in node.inputs
            ]
            attributes = dict(node.attributes)
            part = self._new(node.op_type, inputs, node, sizes, attributes, None, node.domain)
            part.producer().meta[ROWS] = True  # type: ignore[union-attr]  # just made
            parts.append(part)
        self._parts[y], self._places[y] = parts, place
        return []

    def _joined(self, x: ir.Value, source: ir.Node) -> ir.Value:
        """The value of rule 1, from its parts."""
        inner = self._inner(x)
        rows = [
            self._new(
                "Unsqueeze",
                [part, self._constant(source, [1])],
                source,
                (1, *inner[1:]),
                dtype=x.dtype,
            )
            for part in self._parts[x]
        ]
        return self._new("Concat", rows, source, inner, {"axis": 1}, x.dtype)


_RULES: Final[dict[str, Callable[[_Moved, ir.Node], Sequence[Result] | None]]] = {
    "Transpose": _Moved._transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _Moved._reshape),
    "MatMul": _Moved._mat_mul,
    "Gemm": _Moved._gemm,
    **dict.fromkeys(("Softmax", "LogSoftmax", "LayerNormalization"), _Moved._along_axis),
    "BatchNormalization": _Moved._batch_norm,
    "Concat": _Moved._concat,
    "Split": _Moved._split,
    "Slice": _Moved._slice,
    "Gather": _Moved._gather,
    **dict.fromkeys(RECURRENT, _Moved._recurrent),
    **dict.fromkeys(_IMAGES, _Moved._on_images),
}
