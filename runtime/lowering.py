"""From a graph to the steps that compute it."""

from collections.abc import Callable

import numpy as np

from bnnkit.bits import unpack_weight
from bnnkit.errors import UnsupportedError
from bnnkit.runtime import lower_layers, lower_signs
from bnnkit.runtime.draft import Draft
from bnnkit.runtime.graph import Graph, Node
from bnnkit.runtime.operators import ELEMENTWISE, OPERATORS, arguments
from bnnkit.runtime.steps.real import Elementwise, Operator, Source
from bnnkit.runtime.values import Array, Value

BINARY: dict[str, Callable[[Draft, Node], None]] = {
    "bnnkit.Sign": lower_signs.sign,
    "bnnkit.Threshold": lower_signs.threshold,
    "bnnkit.BinaryConv2d": lower_layers.binary_conv2d,
    "bnnkit.BinaryConv2dThreshold": lower_layers.binary_conv2d,
    "bnnkit.BinaryLinear": lower_layers.binary_linear,
    "bnnkit.IntegerConv2d": lower_layers.integer_layer,
    "bnnkit.IntegerLinear": lower_layers.integer_layer,
}


def lower(graph: Graph) -> Draft:
    """The steps of a network and what they pass on.

    Raises:
        UnsupportedError: An operator or one of its options is not known; the message names the node.
    """
    draft = Draft(graph=graph)
    draft.values[graph.input] = Value(
        kind="image", shape=graph.input_shape, dtype=graph.input_dtype
    )
    for node in graph.nodes:
        if node.name not in draft.done:
            _lower_node(draft, node)
    for name in graph.outputs:
        if draft.kind(name) == "signs":
            draft.signs(name)
    return draft


def _lower_node(draft: Draft, node: Node) -> None:
    kinds = [draft.kind(name) for name in node.inputs]
    if node.kind == "bnnkit.BinaryWeight":
        draft.graph.constants[node.outputs[0]] = _weight(draft, node)
    elif node.kind in BINARY:
        BINARY[node.kind](draft, node)
    elif kinds and kinds[0] == "signs" and _lower_signs(draft, node):
        pass
    elif node.kind in ("Conv", "Gemm", "MatMul") and _lower_layer(draft, node):
        pass
    elif node.kind not in OPERATORS:
        raise UnsupportedError(
            f"node {node.name!r} is a {node.kind}, an operator that bnnkit's runtime does not have:"
            " run the file with --engine onnxruntime"
        )
    elif not any(kinds):
        inputs = arguments([draft.graph.constants.get(name) for name in node.inputs])
        draft.graph.constants[node.outputs[0]] = OPERATORS[node.kind](node.attributes, *inputs)
    else:
        _lower_operator(draft, node)


def _weight(draft: Draft, node: Node) -> Array:
    """Binary weights that meet real activations, as ONNX's Conv and Gemm take them."""
    shape = tuple(node.attributes["weight_shape"])
    weight = unpack_weight(draft.constant(node, 0), shape).astype(np.float32)
    return weight.transpose(0, 3, 1, 2) if weight.ndim == 4 else weight


def _lower_signs(draft: Draft, node: Node) -> bool:
    """Lower an operator that signs have a form of; tell whether it was one."""
    if node.kind == "MaxPool":
        lower_signs.max_pool(draft, node)
    elif node.kind == "Pad" and lower_signs.pads_with_ones(draft, node):
        lower_signs.pad(draft, node)
    elif node.kind in ("Flatten", "Reshape") and lower_signs.flattens(draft, node):
        lower_signs.flatten(draft, node)
    elif node.kind == "DequantizeLinear" and lower_signs.dequantizes_signs(draft, node):
        lower_signs.dequantize(draft, node)
    else:
        return False
    return True


def _lower_layer(draft: Draft, node: Node) -> bool:
    """Lower a float layer to the float kernel where it has the right form; tell whether it had."""
    constants, attributes = draft.graph.constants, node.attributes
    if node.inputs[1] not in constants or node.inputs[0] in constants:
        return False
    weight = constants[node.inputs[1]]
    bias = constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
    if len(node.inputs) > 2 and node.inputs[2] and bias is None:
        return False
    rank = len(draft.values[node.inputs[0]].shape)
    if node.kind == "Conv":
        if weight.ndim != 4:
            raise UnsupportedError(
                f"node {node.name!r} (Conv): expected a 2-d convolution, got weights of shape {weight.shape}"
            )
    elif rank != 1 or weight.ndim != 2:
        return False
    elif node.kind == "MatMul":
        weight = weight.T
    else:
        plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0
        if (
            not plain
            or attributes.get("transA")
            or (bias is not None and bias.size != bias.shape[-1])
        ):
            return False
        weight = weight if attributes.get("transB") else weight.T
    if bias is not None and bias.size != len(weight):
        bias = np.broadcast_to(bias, len(weight))
    lower_layers.real_layer(draft, node, weight, bias)
    return True


def _lower_operator(draft: Draft, node: Node) -> None:
    """An operator in NumPy; what it gives is learnt by running it on zeros for a batch of one."""
    function = OPERATORS[node.kind]
    sources: list[Source] = [
        name if name in draft.values else draft.graph.constants.get(name) for name in node.inputs
    ]
    for name in node.inputs:
        if draft.kind(name) == "signs":
            draft.signs(name)
    samples = arguments([_sample(draft, source) for source in sources])
    try:
        result = function(node.attributes, *samples)
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}) cannot be run: {error}"
        ) from error
    is_shape = node.kind == "Shape" or all(draft.kind(n) in ("shape", None) for n in node.inputs)
    shape = result.shape if is_shape else result.shape[1:]
    value = Value(kind="shape" if is_shape else "real", shape=shape, dtype=result.dtype)
    step = Operator
    if node.kind in ELEMENTWISE and _lie_alike(draft, sources, value):
        step = Elementwise
        sources = [_as_stored(source, value) for source in sources]
    draft.add(
        step(
            name=node.name,
            sources=tuple(sources),
            target=node.outputs[0],
            function=function,
            attributes=node.attributes,
        ),
        value,
    )


def _sample(draft: Draft, source: Source) -> Array | None:
    if not isinstance(source, str):
        return source
    value = draft.values[source]
    if value.kind == "shape":
        return _shape_sample(draft, source)
    dtype = {"signs": np.uint8, "sums": np.int32}.get(value.kind, value.dtype)
    return np.zeros((1, *value.shape), dtype)


def _shape_sample(draft: Draft, name: str) -> Array:
    """A shape computed for a batch of one, by the steps that give it."""
    step = next(step for step in draft.steps if step.target == name)
    assert isinstance(step, Operator)  # shapes come from no other step
    samples = arguments([_sample(draft, source) for source in step.sources])
    return step.function(step.attributes, *samples)


def _lie_alike(draft: Draft, sources: list[Source], target: Value) -> bool:
    """Whether all computed inputs have the target's shape and lie in memory like it."""
    values = [draft.values[source] for source in sources if isinstance(source, str)]
    return all(v.kind in ("real", "sums") and v.shape == target.shape for v in values)


def _as_stored(source: Source, target: Value) -> Source:
    """A constant in the layout of a map, NHWC; names stay names."""
    if isinstance(source, str) or source is None or len(target.shape) != 3 or source.ndim == 0:
        if isinstance(source, np.ndarray) and len(target.shape) == 1 and source.ndim == 1:
            return source
        return source
    nchw = source.reshape((1,) * (4 - source.ndim) + source.shape)
    return np.ascontiguousarray(nchw.transpose(0, 2, 3, 1))
