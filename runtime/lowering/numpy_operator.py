"""Lowering of operators to NumPy, for those without a kernel."""

from typing import Any

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.operators.facts import MOVES_SIGNS
from bnnkit.artifact.standard import STANDARD_OPERATORS, arguments
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import Array, Kind, Value
from bnnkit.runtime.steps.real import NumpyOperator, Source

BATCH = 2
"""Batch size for shape inference. Not 1, which could be any axis."""
OTHER_BATCH = 3
"""A second batch size: numbers that differ between the two depend on the number of images."""
_SIZES = {
    "Reshape": (1,), "Expand": (1,), "Tile": (1,), "Slice": (1, 2), "Resize": (3,),
    "ConstantOfShape": (0,),
}  # fmt: skip
"""The inputs that hold sizes, which may depend on the number of images, by operator."""
DTYPES: dict[str, np.dtype[Any]] = {"signs": np.dtype(np.uint8), "sums": np.dtype(np.int32)}


def lower_to_numpy(builder: PlanBuilder, node: Node) -> None:
    """Append an operator computed by NumPy. Its shape is inferred by running it on zeros.

    Raises:
        UnsupportedError: If it fails, or its result does not have the batch as first axis.
    """
    sources = tuple(input_of(builder, name) for name in node.inputs)
    result = _run_on_zeros(builder, node, sources)
    if _mixes_images(builder, node, result.ndim):
        raise UnsupportedError(f"node {node.name!r} ({node.kind}) mixes the images of a batch")
    kind = _kind(builder, node)
    if any(kind == "shape" for kind in map(builder.kind, node.inputs)):
        kind = _kind_with_shapes(builder, node, sources, result, kind)
    if kind != "shape" and result.shape[:1] != (BATCH,):
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}): expected a result whose first axis is the batch,"
            f" got {result.shape} for a batch of {BATCH}"
        )
    step = NumpyOperator(
        name=node.name,
        sources=sources,
        target=node.outputs[0],
        function=STANDARD_OPERATORS[node.kind],
        attributes=node.attributes,
    )
    shape = result.shape if kind == "shape" else result.shape[1:]
    builder.add(step, Value(kind=kind, shape=shape, dtype=result.dtype))


def _mixes_images(builder: PlanBuilder, node: Node, rank: int) -> bool:
    """Whether an operator keeps the batch size but combines or reorders its images."""
    if node.kind in ("Softmax", "LogSoftmax"):
        return bool(node.attributes.get("axis", -1) % rank == 0)
    if node.kind != "Slice" or len(node.inputs) < 5:
        return False
    axes, steps = (builder.constants.get(name) for name in node.inputs[3:5])
    if steps is None:
        return False
    axes = np.arange(steps.size) if axes is None else axes
    return bool(((axes % rank == 0) & (steps < 0)).any())  # reverses the images


def _run_on_zeros(
    builder: PlanBuilder, node: Node, sources: tuple[Source, ...], batch: int = BATCH
) -> Array:
    examples = arguments([example(builder, source, batch) for source in sources])
    try:
        with np.errstate(all="ignore"):  # zeros are not the user's input
            result: Array = STANDARD_OPERATORS[node.kind](node.attributes, *examples)
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise UnsupportedError(
            f"node {node.name!r} ({node.kind}) cannot be run: {error}"
        ) from error
    return result


def _kind_with_shapes(
    builder: PlanBuilder, node: Node, sources: tuple[Source, ...], result: Array, kind: Kind
) -> Kind:
    """Return the kind of a result that is computed from shapes.

    A shape of which the length depends on the batch is a value with one row for each image.

    Raises:
        UnsupportedError: If the number of images becomes a number of the result, not a size.
    """
    other = _run_on_zeros(builder, node, sources, OTHER_BATCH)
    if kind == "shape" and result.shape != other.shape:
        kind = "real"
    if kind != "shape":
        for index, source in enumerate(sources):
            is_size = index in _SIZES.get(node.kind, ())
            if isinstance(source, str) and not is_size and _depends_on_batch(builder, source):
                raise _refused(f"node {node.name!r} ({node.kind})")
        if (result.shape[0], *other.shape) != (BATCH, OTHER_BATCH, *result.shape[1:]):
            raise _refused(f"node {node.name!r} ({node.kind})")
    return kind


def _depends_on_batch(builder: PlanBuilder, name: str) -> bool:
    if builder.kind(name) != "shape":
        return False
    numbers = [example(builder, name, batch) for batch in (BATCH, OTHER_BATCH)]
    return not np.array_equal(*numbers)  # type: ignore[arg-type]


def shape_of_every_batch(builder: PlanBuilder, name: str) -> Array:
    """Return the numbers of a shape that is an output.

    Raises:
        UnsupportedError: If they depend on the number of images.
    """
    if _depends_on_batch(builder, name):
        raise _refused(f"the output {name!r}")
    numbers = example(builder, name)
    assert numbers is not None  # a shape has numbers
    return numbers


def _refused(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what} depends on the number of images in the batch, and not as the first size of a"
        " shape: export the network without that dependence"
    )


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
    return builder.packed_signs(name) if builder.kind(name) == "signs" else name


def example(builder: PlanBuilder, source: Source, batch: int = BATCH) -> Array | None:
    """Return zeros for a batch; the actual numbers for a shape."""
    if not isinstance(source, str):
        return source
    value = builder.values[source]
    if value.kind == "shape":
        step = builder.steps[builder.position(source)]
        assert isinstance(step, NumpyOperator)  # no other step gives shapes
        examples = arguments([example(builder, name, batch) for name in step.sources])
        shape: Array = step.function(step.attributes, *examples)
        return shape
    return np.zeros((batch, *value.shape), DTYPES.get(value.kind, value.dtype))
