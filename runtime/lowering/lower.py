"""The way through a graph: which lowering each node gets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

from bnnkit.artifact.bits import unpack_weight
from bnnkit.artifact.graph import Graph, Node
from bnnkit.artifact.standard import OPERATORS, arguments
from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError
from bnnkit.runtime.lowering import signs
from bnnkit.runtime.lowering.binary_layers import (
    binary_conv2d,
    binary_conv2d_threshold,
    binary_linear,
)
from bnnkit.runtime.lowering.channels_last import lower_channels_last
from bnnkit.runtime.lowering.elementwise import lower_elementwise
from bnnkit.runtime.lowering.float_layers import integer_layer, lower_real_layer
from bnnkit.runtime.lowering.noise import select_weight_draw, stochastic_sign, with_repeats
from bnnkit.runtime.lowering.numpy_operator import operator
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.lowering.pooling import lower_pooling
from bnnkit.runtime.values import Array, Value

BINARY: dict[str, Callable[[PlanBuilder, Node], None]] = {
    "bnnkit.Sign": signs.sign,
    "bnnkit.Threshold": signs.threshold,
    "bnnkit.BinaryConv2d": binary_conv2d,
    "bnnkit.BinaryConv2dThreshold": binary_conv2d_threshold,
    "bnnkit.BinaryLinear": binary_linear,
    "bnnkit.IntegerConv2d": integer_layer,
    "bnnkit.IntegerLinear": integer_layer,
}

WHERE_POSSIBLE: tuple[Callable[[PlanBuilder, Node], bool], ...] = (
    signs.lower_move,
    lower_channels_last,
    lower_pooling,
    lower_real_layer,
    lower_elementwise,
)
"""Lowerings to kernels that take some forms of an operator; NumPy takes the rest."""


def lower(graph: Graph, weight_draw: int = 0) -> PlanBuilder:
    """The steps of a network and what they pass on.

    Args:
        graph: What to lower.
        weight_draw: Index of the stored draw of the weights; 0 where none are stored.

    Raises:
        UnsupportedError: An operator or an option is not known; the message names the node.
    """
    builder = PlanBuilder(graph=graph)
    builder.values[graph.input] = Value(
        kind="image", shape=graph.input_shape, dtype=graph.input_dtype
    )
    for node in graph.nodes:
        if node.name not in builder.done:
            with _naming(node):
                _lower_marking(builder, node, weight_draw)
    for name in graph.outputs:
        if builder.kind(name) == "signs":
            with _marking(builder) if name in builder.noise_dependent else nullcontext():
                builder.signs(name)
    return builder


@contextmanager
def _naming(node: Node) -> Iterator[None]:
    """Add the node to errors that do not name it."""
    try:
        yield
    except BnnkitError as error:
        if repr(node.name) in str(error):
            raise
        kind = UnsupportedError if isinstance(error, UnsupportedError) else ArtifactError
        raise kind(f"node {node.name!r} ({node.kind}): {error}") from error


def _lower_marking(builder: PlanBuilder, node: Node, weight_draw: int) -> None:
    """Lower a node, and record what depends on the draw of the noise."""
    if node.kind == "bnnkit.WeightDraw":
        select_weight_draw(builder, node, weight_draw)
    elif node.kind == "bnnkit.StochasticSign":
        stochastic_sign(builder, node)
    elif any(name in builder.noise_dependent for name in node.inputs):
        node = with_repeats(builder, node)
        with _marking(builder):
            _lower_node(builder, node)
    else:
        _lower_node(builder, node)


@contextmanager
def _marking(builder: PlanBuilder) -> Iterator[None]:
    """What is new afterwards depends on the draw of the noise."""
    known = builder.values.keys() | builder.constants.keys()
    yield
    builder.noise_dependent |= (builder.values.keys() | builder.constants.keys()) - known


def _lower_node(builder: PlanBuilder, node: Node) -> None:
    if node.kind == "bnnkit.BinaryWeight":
        weight = _binary_weight(builder, node)
        builder.binary_weights[node.outputs[0]] = weight
        builder.constants[node.outputs[0]] = weight.astype(np.float32)
    elif node.kind in BINARY:
        BINARY[node.kind](builder, node)
    elif not any(name in builder.values for name in node.inputs) and node.kind in OPERATORS:
        inputs = arguments([builder.constants.get(name) for name in node.inputs])
        builder.constants[node.outputs[0]] = OPERATORS[node.kind](node.attributes, *inputs)
    elif not any(lowers(builder, node) for lowers in WHERE_POSSIBLE):
        if node.kind not in OPERATORS:
            raise UnsupportedError(
                f"node {node.name!r} is a {node.kind}, an operator that bnnkit's runtime lacks"
            )
        operator(builder, node)


def _binary_weight(builder: PlanBuilder, node: Node) -> Array:
    """Binary weights that meet real activations, as ONNX's Conv and Gemm take them."""
    shape = tuple(node.attributes["weight_shape"])
    weight = unpack_weight(builder.constant(node, 0), shape)
    return weight.transpose(0, 3, 1, 2) if weight.ndim == 4 else weight
