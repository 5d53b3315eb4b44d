"""Binary layers of sequences and of values with channels last become convolutions of maps.

An artifact has binary convolutions of maps (N, C, H, W), whose kernels, thresholds and noise know
the channels as axis 1.

1. A one-dimensional `Conv` of (N, C, L) with binary weights becomes a two-dimensional one on
   (N, C, 1, L). So does a real one in a graph with such a layer, so that the values between them
   are maps.
2. A `MatMul` of (N, ..., I), three or more axes, with binary weights becomes a 1x1 `Conv` on
   (N, I, H, W).
3. The changes of shape behind a layer move down, through signs, pools, pads and elementwise
   operators with constants, whose constants get the map's axes too; and through sums and joins of
   such values.
4. The sign of the input of such a layer is taken of the map.
5. Changes of shape that undo each other are removed: a layer behind another reads its map.
   `Transpose` between (N, T, C) and (N, C, T) is no more than another view of the same map.
6. In such a graph, `Flatten` reads what is before `Squeeze` and `Unsqueeze`, and the mean over
   time without that axis is that of the map.
7. A noisy sign of (N, A, B) is one of (N, A, 1, B), whose signs have the same random numbers: axis
   1 counts the channels, whatever it means.
"""

from collections.abc import Sequence
from dataclasses import replace as changed
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.binary_scales import scales
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import MONOTONE, MOVES_SIGNS_IN_ANY_FORM, POOLS
from bnnkit.artifact.standard.sequences import of_height_one
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    mark_behind,
    new_node,
    operand,
    parameter_name,
    produced_by,
    rank,
    real_node,
    replace,
    shared_constant,
)
from bnnkit.export.passes.clean_up import remove_dead
from bnnkit.export.passes.lower_signs import dequantized, set_sign_record, sign_record
from bnnkit.export.passes.map_views import CHANNELS_LAST, SEQUENCE, MapView
from bnnkit.export.passes.shape_changes import (
    adds_height,
    flattens,
    keeps_order,
    means_over_time,
    untransposed,
)

_ELEMENTWISE: Final = (MONOTONE - {"BatchNormalization"}) | {
    "PRelu",
    "LeakyRelu",
    "DequantizeLinear",
}
"""What stands between the binary layers of a network; other axes change none of it."""
_MOVES: Final = {*MOVES_SIGNS_IN_ANY_FORM, "Pad", "Concat"}
_OF_CHANNELS: Final = {"BatchNormalization", *POOLS}
"""Operators whose channels are axis 1."""
VIEW: Final = "bnnkit.view"
"""The key of the nodes that turn values to maps; their signs are to be taken of the maps."""
_WINDOWS: Final = ("kernel_shape", "strides", "dilations", "pads")


def layers_as_maps(graph: ir.Graph) -> None:
    """Run the pass."""
    views = _Views(graph)
    has_sequences = any(
        _is_convolution_of_sequences(node) and views.takes_signs(node) for node in graph
    )
    for node in list(graph):
        if node.graph is not graph:
            continue
        if _is_convolution_of_sequences(node) and (has_sequences or views.takes_signs(node)):
            views.lift_convolution(node)
        elif (mark := _mark_of_linear(node)) is not None and views.takes_signs(node):
            views.lift_linear(node, mark)
        elif _is_noisy_sign_of_sequences(node):
            views.lift_noisy_sign(node)
        elif has_sequences and flattens(node):
            node.replace_input_with(0, views.unshaped(operand(node, 0)))
        else:
            views.move(node)
    remove_dead(graph)


def _is_convolution_of_sequences(node: ir.Node) -> bool:
    return (node.domain, node.op_type) == ("", "Conv") and rank(operand(node, 0)) == 3


def _is_noisy_sign_of_sequences(node: ir.Node) -> bool:
    is_noisy = (node.domain, node.op_type) == (DOMAIN, "StochasticSign")
    return is_noisy and rank(operand(node, 0)) == 3


def _mark_of_linear(node: ir.Node) -> ir.Node | None:
    """The mark of the weights of a `MatMul` with three or more axes; None if it has none."""
    if (node.domain, node.op_type) != ("", "MatMul") or rank(operand(node, 0)) < 3:
        return None
    transpose = produced_by(node.inputs[1], "Transpose")
    has_sizes = all(isinstance(size, int) for size in (operand(node, 0).shape or ())[1:])
    if transpose is None or not has_sizes:
        return None
    return mark_behind(transpose.inputs[0], "BinaryWeight")


class _Views:
    """The values whose maps are known."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._maps: dict[ir.Value, tuple[ir.Value, MapView]] = {}
        self._ups: dict[tuple[ir.Value, MapView], ir.Value] = {}
        self._weights: dict[ir.Value, ir.Value] = {}

    def takes_signs(self, node: ir.Node) -> bool:
        """Whether a layer takes signs; a layer with weights +-s may do so after later passes."""
        weight = array(node.inputs[1])
        if weight is not None:
            return scales(weight) is not None
        return self._is_of_signs(operand(node, 0))

    def _is_of_signs(self, x: ir.Value) -> bool:
        """Whether a value is signs as real numbers, possibly padded, pooled or moved."""
        x = self._maps[x][0] if x in self._maps else x
        node = x.producer()
        if node is not None and node.domain == "" and node.op_type in _MOVES:
            parts = node.inputs if node.op_type == "Concat" else node.inputs[:1]
            return all(part is not None and self._is_of_signs(part) for part in parts)
        return dequantized(x) is not None

    def lift_convolution(self, node: ir.Node) -> None:
        """Rule 1."""
        weight, mark = operand(node, 1), mark_behind(node.inputs[1], "BinaryWeight")
        content = array(weight) if mark is None else array(mark.inputs[0])
        if content is None:
            return  # the weights are computed
        new: list[ir.Node] = []
        if mark is None:
            flat = self._reshaped(weight, content[:, :, None])
        else:
            flat = self._marked(mark, content[:, :, None], new)
        self._lift(node, SEQUENCE, [self._map(node, SEQUENCE), flat, *node.inputs[2:]], new)

    def lift_linear(self, node: ir.Node, mark: ir.Node) -> None:
        """Rule 2."""
        content = array(mark.inputs[0])
        if content is None or content.ndim != 2:
            return
        new: list[ir.Node] = []
        weight = self._marked(mark, content[:, :, None, None], new)
        inputs = [self._map(node, CHANNELS_LAST), weight]
        self._lift(node, CHANNELS_LAST, inputs, new, op_type="Conv")

    def lift_noisy_sign(self, node: ir.Node) -> None:
        """Rule 7."""
        self._lift(node, SEQUENCE, [self._up(operand(node, 0), SEQUENCE, node)])

    def move(self, node: ir.Node) -> None:
        """Rules 3 and 5."""
        found = [self._maps[x] for x in node.inputs if x in self._maps]
        if not found or node.domain not in ("", DOMAIN) or len(node.outputs) != 1:
            return
        inner, view = found[0]
        if node.op_type == "Transpose":
            self._turn(node, inner, view)
        elif view is SEQUENCE and adds_height(node):
            node.outputs[0].replace_all_uses_with(inner, replace_graph_outputs=True)
        elif view is SEQUENCE and means_over_time(node):
            self._mean(node, inner)
        elif all(other is view for _, other in found) and _can_move(node, view):
            operands = self._pads if node.op_type == "Pad" else self._operands
            inputs = operands(node, view)
            if inputs is not None:
                self._lift(node, view, inputs)

    def _turn(self, node: ir.Node, inner: ir.Value, view: MapView) -> None:
        perm = tuple(node.attributes.get_ints("perm", ()))
        if perm == (0, 2, 1):
            self._maps[node.outputs[0]] = (
                inner,
                SEQUENCE if view is CHANNELS_LAST else CHANNELS_LAST,
            )
        elif perm == (0, 3, 1, 2) and view is CHANNELS_LAST:
            node.outputs[0].replace_all_uses_with(inner, replace_graph_outputs=True)

    def unshaped(self, x: ir.Value) -> ir.Value:
        """The value before changes of shape that `Flatten` makes needless; rule 6."""
        while (node := x.producer()) is not None and keeps_order(node):
            x = operand(node, 0)
        return x

    def _mean(self, node: ir.Node, inner: ir.Value) -> None:
        """Rule 6."""
        y = node.outputs[0]
        axes = shared_constant(self._graph, "height_and_width", np.array([2, 3]))
        mean = new_node(
            "ReduceMean",
            [inner, axes],
            source=node,
            dtype=y.dtype or ir.DataType.FLOAT,
            shape=y.shape,
            attributes={"keepdims": 0},
        )
        replace(self._graph, node, [mean])

    def _operands(self, node: ir.Node, view: MapView) -> list[ir.Value | None] | None:
        """The operands of a node on the map; None if one has no map."""
        inputs: list[ir.Value | None] = []
        y = node.outputs[0]
        for x in node.inputs:
            content = array(x)
            if x is None or (content is not None and not content.ndim):
                inputs.append(x)
            elif x in self._maps:
                if x.shape != y.shape and node.op_type not in (*POOLS, "Concat"):
                    return None
                inputs.append(self._maps[x][0])
            elif content is None:
                return None
            elif node.op_type in _OF_CHANNELS:
                inputs.append(x)
            else:
                full = content.reshape((1,) * (rank(y) - content.ndim) + content.shape)
                lifted = view.constant(full)
                if lifted is None:
                    return None
                inputs.append(add_constant(self._graph, parameter_name(node, "lifted"), lifted))
        return inputs

    def _pads(self, node: ir.Node, view: MapView) -> list[ir.Value | None] | None:
        """The operands of a `Pad` on the map; None if its pads or axes are computed."""
        x, pads = operand(node, 0), array(node.inputs[1])
        axes = view.axes(rank(x))
        if pads is None or axes is None or len(node.inputs) > 3 or pads.size != 2 * rank(x):
            return None
        sides = pads.reshape(2, -1)
        none = np.zeros(2, np.int64)
        lifted = np.stack([none if axis is None else sides[:, axis] for axis in axes], 1)
        value = add_constant(self._graph, parameter_name(node, "pads"), lifted.reshape(-1))
        return [self._maps[x][0], value, *node.inputs[2:]]

    def _map(self, node: ir.Node, view: MapView) -> ir.Value:
        """The map of the input of a layer; rule 4."""
        self._lift_signs(operand(node, 0), view)
        return self._up(operand(node, 0), view, node)  # the sign may have been replaced

    def _lift_signs(self, x: ir.Value, view: MapView) -> None:
        """Take the sign behind a value of the map."""
        node = x.producer()
        if node is None or x in self._maps:
            return
        is_sign = (node.domain, node.op_type) == (DOMAIN, "Sign")
        if not (is_sign or (node.domain, node.op_type) == ("", "DequantizeLinear")):
            return
        if not is_sign:
            self._lift_signs(operand(node, 0), view)
        inner = operand(node, 0)
        if is_sign or inner in self._maps:
            self._lift(node, view, [self._up(inner, view, node), *node.inputs[1:]])

    def _up(self, x: ir.Value, view: MapView, source: ir.Node) -> ir.Value:
        """The map of a value; made before `source` if it is not known."""
        known = self._maps.get(x)
        if known is not None and known[1] is view:
            return known[0]
        inner = untransposed(x)
        if inner is not None and view is CHANNELS_LAST:
            return inner if rank(x) == 4 else self._up(inner, SEQUENCE, source)
        if (x, view) not in self._ups:
            new = view.up(self._graph, x, source)
            for up in new:
                up.meta[VIEW] = True
            # All later readers of the value share its map, so it stands right behind the value.
            producer = x.producer()
            if producer is None:
                self._graph.insert_before(self._graph[0], new)
            else:
                self._graph.insert_after(producer, new)
            self._ups[x, view] = new[-1].outputs[0]
        return self._ups[x, view]

    def _lift(
        self,
        node: ir.Node,
        view: MapView,
        inputs: Sequence[ir.Value | None],
        new: list[ir.Node] | None = None,
        op_type: str | None = None,
    ) -> None:
        """Replace a node by one on maps, and the changes of shape of its output."""
        y = node.outputs[0]
        assert y.shape is not None  # the shapes of the graph are known
        lifted = new_node(
            op_type or node.op_type,
            inputs,
            source=node,
            dtype=y.dtype or ir.DataType.FLOAT,
            shape=view.to_map(y.shape),
            domain=node.domain,
            attributes=_of_maps(node, view),
        )
        down = view.down(self._graph, lifted.outputs[0], y.shape, node)
        record = sign_record(y)
        lifted.outputs[0].meta.update(y.meta)
        if record is not None and view is CHANNELS_LAST:
            set_sign_record(lifted.outputs[0], changed(record, has_channels_last=True))
        y.meta.clear()
        replace(self._graph, node, [*(new or []), lifted, *down])
        self._maps[down[-1].outputs[0]] = lifted.outputs[0], view

    def _marked(self, mark: ir.Node, content: Any, new: list[ir.Node]) -> ir.Value:
        latent = operand(mark, 0)
        lifted = real_node(
            "BinaryWeight",
            [self._reshaped(latent, content)],
            mark,
            ir.Shape(content.shape),
            DOMAIN,
            mark.attributes,
        )
        new.append(lifted)
        return lifted.outputs[0]

    def _reshaped(self, constant: ir.Value, content: Any) -> ir.Value:
        """A constant in another shape; the layers that share it share that too."""
        if constant not in self._weights:
            self._weights[constant] = add_constant(self._graph, str(constant.name), content)
        return self._weights[constant]


def _can_move(node: ir.Node, view: MapView) -> bool:
    if node.domain == DOMAIN:
        return node.op_type == "Sign"
    if node.op_type == "Concat" and view.axes(rank(node.outputs[0])) is None:
        return False
    return node.op_type in (*_ELEMENTWISE, "Pad", "Concat") or (
        view is SEQUENCE and node.op_type in _OF_CHANNELS
    )


def _of_maps(node: ir.Node, view: MapView) -> dict[str, Any]:
    """The attributes of a node on maps."""
    lifted: dict[str, Any] = dict(node.attributes)
    if node.op_type == "Concat":
        n_axes = rank(operand(node, 0))
        axes = view.axes(n_axes) or ()
        lifted["axis"] = axes.index(node.attributes["axis"].as_int() % n_axes)
    if view is SEQUENCE:
        given: dict[str, Any] = {n: lifted[n].as_ints() for n in _WINDOWS if n in lifted}
        lifted |= of_height_one(given)
    return lifted
