"""Skips around single binary layers, as in Bi-Real Net.

A sign keeps one bit of each value, so real values must go around every binary layer, not only
around blocks of several. Two changes give each binary layer a skip where shapes allow it:

1. A skip around a block of n binary layers starts at the first layer whose output has the shape
   of the block's, and each later layer gets a skip from the sum before it:
   s + f2(f1(x)) becomes t + f2(t) with t = s + f1(x).
2. Any other binary layer whose output has the shape of its input gets a skip of its own.

References:
    Liu et al., Bi-Real Net, ECCV 2018, https://arxiv.org/abs/1808.00278.
"""

import operator
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import fx

from bnnkit.models.twin_graph import TwinGraph
from bnnkit.nn.conv_bn_relu import ADDS
from bnnkit.nn.sign_inputs import called

Activate = Callable[[str, fx.Node], fx.Node]
"""Applies an activation, which gets a name, to a value."""


class _Layer(NamedTuple):
    """A binary layer: its call, and the call of the batch norm behind it."""

    conv: fx.Node
    norm: fx.Node


def add_skips(graph: TwinGraph, activate: Activate) -> list[str]:
    """Give binary layers skips of their own; return the names of the layers.

    Args:
        graph: The network; values between its binary layers have no activations any more.
        activate: Applies an activation to a sum.
    """
    done: list[_Layer] = []
    for node in list(graph.graph.nodes):
        if called(node) in ADDS and len(node.all_input_nodes) == 2:
            done += _distribute(graph, node, activate)
    moved = {layer.conv for layer in done}
    for conv in graph.layers.binary:
        layer = _layer_of(graph, conv)
        if layer is not None and conv not in moved and _add_own(graph, layer, activate):
            done.append(layer)
    return [str(layer.conv.target) for layer in done]


def _distribute(graph: TwinGraph, total: fx.Node, activate: Activate) -> list[_Layer]:
    """Let the skip of a block go around each of its binary layers; return the changed ones."""
    left, right = total.all_input_nodes
    for skip, branch in ((right, left), (left, right)):
        shape = graph.shape(total)
        layers = _last_of_shape(graph, branch, shape)
        if len(layers) < 2 or graph.shape(skip) != shape or graph.depends(skip, layers[0].norm):
            continue
        for layer in layers[:-1]:
            skip = _sum(graph, skip, layer, activate)
        # A sum in place (out += x) would change a value that is used elsewhere now.
        total.op, total.target = "call_function", operator.add
        total.args, total.kwargs = (skip, branch), {}
        return layers[:-1]
    return []


def _last_of_shape(graph: TwinGraph, branch: fx.Node, shape: tuple[int, ...]) -> list[_Layer]:
    """The binary layers in a row at the end of a branch whose outputs have a shape."""
    found: list[_Layer] = []
    for layer in _backwards(graph, branch):
        if graph.shape(layer.norm) != shape:
            break
        found.insert(0, layer)
    return found


def _backwards(graph: TwinGraph, norm: fx.Node) -> Iterator[_Layer]:
    while graph.is_norm(norm) and len(norm.users) == 1:
        conv = norm.all_input_nodes[0]
        if conv not in graph.layers.binary or len(conv.users) != 1:
            return
        yield _Layer(conv, norm)
        norm = conv.all_input_nodes[0]


def _layer_of(graph: TwinGraph, conv: fx.Node) -> _Layer | None:
    norm = next(iter(conv.users))
    return _Layer(conv, norm) if len(conv.users) == 1 and graph.is_norm(norm) else None


def _add_own(graph: TwinGraph, layer: _Layer, activate: Activate) -> bool:
    value = layer.conv.all_input_nodes[0]
    has_skip = any(called(user) in ADDS for user in layer.norm.users)
    if has_skip or graph.shape(value) != graph.shape(layer.norm):
        return False
    _sum(graph, value, layer, activate)
    return True


def _sum(graph: TwinGraph, skip: fx.Node, layer: _Layer, activate: Activate) -> fx.Node:
    """Replace the output of a layer by its sum with a skip, and return it."""
    users = list(layer.norm.users)
    found = graph.add(skip, layer.norm)
    if not any(graph.layers.is_activation(user) for user in users):
        found = activate(str(layer.conv.target), found)
    for user in users:
        user.replace_input_with(layer.norm, found)
    return found
