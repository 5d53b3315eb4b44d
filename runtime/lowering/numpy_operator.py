"""Lowering of operators to NumPy, for those without a kernel."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.operators.facts import MOVES_SIGNS
from bnnkit.artifact.standard import SEVERAL_OUTPUTS, STANDARD_OPERATORS, arguments
from bnnkit.artifact.standard.elementwise import Attributes
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.lowering.large_results import large_result, zeros
from bnnkit.runtime.lowering.mixing_images import (
    check_images_apart,
    check_use_of_sizes,
    depends_on_batch,
)
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import FLOAT, Array, Kind, Value
from bnnkit.runtime.steps.probabilities import SoftmaxOfChannels, softmax_operator
from bnnkit.runtime.steps.real import NumpyOperator, Source

BATCHES = (2, 3)
"""Batch sizes for shape inference. Not 1, which any axis may have, and two, since a constant in
the file may have the length of one of them."""
DTYPES: dict[str, np.dtype[Any]] = {"signs": np.dtype(np.uint8), "sums": np.dtype(np.int32)}


def lower_several_outputs(builder: PlanBuilder, node: Node) -> bool:
    """Lower an operator with several outputs: one step for each output that something reads.

    Most networks read one of them; where they read more, the operator is computed again.

    Returns:
        Whether the node is one.
    """
    outputs = node.outputs
    if node.kind not in SEVERAL_OUTPUTS or (node.kind == "MaxPool" and not any(outputs[1:])):
        return False
    if not any(name in builder.values for name in node.inputs):
        inputs = arguments([builder.constants.get(name) for name in node.inputs])
        found = SEVERAL_OUTPUTS[node.kind](node.attributes, *inputs)
        builder.constants.update(zip(outputs, found, strict=False))
        return True
    for place, name in enumerate(outputs):
        if name and (builder.graph.readers(name) or name in builder.graph.outputs):
            lower_to_numpy(builder, with_one_output(node, place, name))
    return True


def with_one_output(node: Node, place: int, name: str) -> Node:
    """Return a node that gives one of its outputs alone, by a name."""
    return replace(node, outputs=(*[""] * place, name))


def function_of(node: Node) -> Callable[..., Array]:
    """Return the function in NumPy that computes the only named output of a node."""
    place = len(node.outputs) - 1
    if node.kind in SEVERAL_OUTPUTS and (place or node.kind not in STANDARD_OPERATORS):
        return partial(_output, SEVERAL_OUTPUTS[node.kind], place)
    return softmax_operator if node.kind == "Softmax" else STANDARD_OPERATORS[node.kind]


def _output(
    function: Callable[..., tuple[Array, ...]], place: int, attributes: Attributes, *xs: Array
) -> Array:
    return function(attributes, *xs)[place]


def lower_to_numpy(builder: PlanBuilder, node: Node) -> None:
    """Append an operator computed by NumPy.

    Its shape is inferred by running it on zeros; by ONNX, where that would take much memory.

    Args:
        builder: The plan under construction.
        node: The node; its last output is computed, those before it have no name.

    Raises:
        UnsupportedError: If it fails, mixes the images of a batch, or its result does not have
            the batch as first axis.
    """
    node = _with_axes(builder, node)
    sources = tuple(input_of(builder, name) for name in node.inputs)
    kind = _kind(builder, node)
    results = [_run_on_zeros(builder, node, sources, batch, kind) for batch in BATCHES]
    if kind == "shape" and results[0].shape != results[1].shape:
        kind = "real"  # its length depends on the batch: it has one row for each image
    if kind == "shape":
        builder.shapes[node.outputs[-1]] = dict(zip(BATCHES, results, strict=True))
        if not np.array_equal(results[0], results[1]):
            builder.batch_sizes.add(node.outputs[-1])
    else:
        check_use_of_sizes(builder, node)
        check_images_apart(builder, node, [inputs_of(builder, sources, n) for n in BATCHES])
        _check_batch(node, results)
    step = (SoftmaxOfChannels if _is_of_channels(builder, node, kind) else NumpyOperator)(
        name=node.name,
        sources=sources,
        target=node.outputs[-1],
        function=function_of(node),
        attributes=node.attributes,
    )
    if isinstance(step, SoftmaxOfChannels):
        builder.add(step, builder.values[node.inputs[0]].alike())
        return
    shape = results[0].shape if kind == "shape" else results[0].shape[1:]
    value = Value(kind=kind, shape=shape, dtype=results[0].dtype)
    is_matrix = builder.forms.fuses and _is_matrix(builder, node, value)
    builder.add(
        step, replace(value, layout="channels last", is_tight=True) if is_matrix else value
    )


_GIVES_MATRICES = {"MatMul", "Softmax", "LayerNormalization"}
"""Operators whose results of rank 3 are matrices (A, T, C), not maps (C, H, W)."""


def _is_matrix(builder: PlanBuilder, node: Node, value: Value) -> bool:
    """Whether the last axis of a result is that of its channels."""
    if value.kind != "real" or value.dtype != FLOAT or len(value.shape) < 2:
        return False
    if len(value.shape) != 3 or node.kind in _GIVES_MATRICES:
        return True
    sources = [builder.values[name] for name in node.inputs if name in builder.values]
    return any(x.layout == "channels last" and x.shape == value.shape for x in sources)


def _is_of_channels(builder: PlanBuilder, node: Node, kind: Kind) -> bool:
    """Whether a node is the softmax over the channels of a map, or over a vector, of float32."""
    x = builder.values.get(node.inputs[0])
    if node.kind != "Softmax" or kind != "real" or x is None or not x.is_map:
        return False
    if x.layout == "sequence":
        return False
    axis = node.attributes.get("axis", -1) % (1 + len(x.shape))
    is_of_channels = axis == (len(x.shape) if x.layout == "channels last" else 1)
    return is_of_channels and x.kind == "real" and x.dtype == FLOAT


def _with_axes(builder: PlanBuilder, node: Node) -> Node:
    """State the axes of a Squeeze that names none: those of length 1, but never the batch.

    ONNX would remove the batch too when it is 1, so the result's form would depend on the batch.
    """
    x = builder.values.get(node.inputs[0])
    is_stated = "axes" in node.attributes or any(node.inputs[1:])
    if node.kind != "Squeeze" or is_stated or x is None or x.kind == "shape":
        return node
    axes = tuple(axis for axis, size in enumerate(x.shape, start=1) if size == 1)
    return replace(node, inputs=node.inputs[:1], attributes={**node.attributes, "axes": axes})


def shape_of_every_batch(builder: PlanBuilder, name: str) -> Array:
    """Return the numbers of a shape that is an output.

    Raises:
        UnsupportedError: If they depend on the number of images.
    """
    if name in builder.batch_sizes:
        raise depends_on_batch(f"the output {name!r}")
    numbers = example(builder, name, BATCHES[0])
    assert numbers is not None  # a shape has numbers
    return numbers


def _check_batch(node: Node, results: list[Array]) -> None:
    """Check that a result has the batch as first axis, and otherwise one shape for all batches."""
    for batch, result in zip(BATCHES, results, strict=True):
        if result.shape[:1] != (batch,) or result.shape[1:] != results[0].shape[1:]:
            raise UnsupportedError(
                f"node {node.name!r} ({node.kind}): expected a result whose first axis alone is"
                f" the batch, got {result.shape} for a batch of {batch}"
            )


def _run_on_zeros(
    builder: PlanBuilder, node: Node, sources: tuple[Source, ...], batch: int, kind: Kind
) -> Array:
    examples = arguments(inputs_of(builder, sources, batch))
    large = large_result(node, examples, builder.graph.opset) if kind != "shape" else None
    if large is not None:
        return large
    try:
        with np.errstate(all="ignore"):  # zeros are not the user's input
            result: Array = function_of(node)(node.attributes, *examples)
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}) cannot be run on a batch of {batch}: {error}"
        ) from error
    return result


def _kind(builder: PlanBuilder, node: Node) -> Kind:
    """Return the kind of the result; a shape is computed once per batch size."""
    kinds = [builder.kind(name) for name in node.inputs]
    if node.kind == "Shape" or all(kind in ("shape", None) for kind in kinds):
        return "shape"
    if kinds[0] in ("signs", "codes") and node.kind in MOVES_SIGNS:
        if node.kind == "Pad" and not _pads_with_signs(builder, node):
            raise UnsupportedError(
                f"node {node.name!r} (Pad): expected signs to be padded with 0 (-1) or 2 (+1)"
            )
        return "codes"
    return "real"


def _pads_with_signs(builder: PlanBuilder, node: Node) -> bool:
    if node.attributes.get("mode", b"constant") != b"constant":
        return True
    return len(node.inputs) < 3 or int(builder.constant(node, 2)) in (0, 2)


def input_of(builder: PlanBuilder, name: str) -> Source:
    """Return an input for a step: name of a value, a constant, or None if it is omitted."""
    if name not in builder.values:
        return builder.constants.get(name)
    is_signs = builder.kind(name) == "signs" and builder.values[name].layout == "onnx"
    return builder.packed_signs(name) if is_signs else name


def inputs_of(builder: PlanBuilder, sources: tuple[Source, ...], batch: int) -> list[Array | None]:
    """Return an example of each input."""
    return [example(builder, source, batch) for source in sources]


def example(builder: PlanBuilder, source: Source, batch: int) -> Array | None:
    """Return zeros for a batch; the actual numbers for a constant or a shape."""
    if not isinstance(source, str):
        return source
    value = builder.values[source]
    if value.kind == "shape":
        return builder.shapes[source][batch]
    return zeros((batch, *value.shape), DTYPES.get(value.kind, value.dtype))
