"""Refusal of operators that mix the images of a batch.

The runtime computes a large batch in chunks, and each image alone in an ensemble, so no result may
depend on how many images there are, or on the others.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from bnnkit.artifact.format.graph import Graph, Node
from bnnkit.artifact.operators.facts import RECURRENT
from bnnkit.artifact.operators.subscripts import axes_of_term, subscripts
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import Array

Examples = Sequence[Array | None]
"""The inputs of a node for one size of the batch: zeros; of constants and shapes the numbers."""

_DEFAULT_AXIS: Final = {
    "Softmax": -1,
    "LogSoftmax": -1,
    "LpNormalization": -1,
    "LayerNormalization": -1,
    "Gather": 0,
    "TopK": -1,
}
"""Operators that combine or choose along an axis and keep the batch's size, with their default."""
_SIZES: Final = {
    "Reshape": {1},
    "Expand": {1},
    "Tile": {1},
    "Slice": {1, 2, 3, 4},
    "Pad": {1, 3},
    "Resize": {2, 3},
    "ConstantOfShape": {0},
}
"""The inputs of operators that say only where elements go."""


def check_use_of_sizes(builder: PlanBuilder, node: Node) -> None:
    """Check that sizes that depend on the batch give a shape, not numbers of the result.

    Raises:
        UnsupportedError: If the node computes with them.
    """
    for index, name in enumerate(node.inputs):
        if name in builder.batch_sizes and index not in _SIZES.get(node.kind, ()):
            raise depends_on_batch(f"node {node.name!r} ({node.kind})")


def depends_on_batch(what: str) -> UnsupportedError:
    """Return the error for numbers that are computed from the number of images."""
    return UnsupportedError(
        f"{what} depends on the number of images in the batch, and not as the first size of a"
        " shape: export the network without that dependence"
    )


def check_images_apart(builder: PlanBuilder, node: Node, batches: Sequence[Examples]) -> None:
    """Check that an operator that keeps the batch's size does not combine or reorder its images.

    Args:
        builder: The plan under construction.
        node: The node.
        batches: Its inputs for two sizes of the batch.

    Raises:
        UnsupportedError: If it does.
    """
    mixes = _MIXES.get(node.kind, _mixes_along_axis)
    if any(mixes(builder, node, examples) for examples in batches):
        raise UnsupportedError(f"node {node.name!r} ({node.kind}) mixes the images of a batch")


def _mixes_along_axis(builder: PlanBuilder, node: Node, examples: Examples) -> bool:
    x = examples[0]
    if node.kind not in _DEFAULT_AXIS or x is None or node.inputs[0] not in builder.values:
        return False
    axis = int(node.attributes.get("axis", _DEFAULT_AXIS[node.kind]))
    return axis % max(1, x.ndim) == 0


def _slices_images(builder: PlanBuilder, node: Node, examples: Examples) -> bool:
    """Whether a Slice takes some of the images, or all of them in another order."""
    x, starts, ends, axes, steps = [*examples, None, None][:5]
    if x is None or starts is None or ends is None:
        return True
    along = np.arange(starts.size) if axes is None else axes % x.ndim
    for i in np.flatnonzero(along == 0):
        is_constant = node.inputs[2] in builder.constants
        least = np.iinfo(np.int32).max if is_constant else len(x)
        step = 1 if steps is None else steps[i]
        if starts[i] != 0 or ends[i] < least or step != 1:
            return True
    return False


def _sums_images(builder: PlanBuilder, node: Node, examples: Examples) -> bool:
    """Whether a CumSum adds up the images."""
    x, axis = examples[:2]
    return x is None or axis is None or int(axis.reshape(())) % max(1, x.ndim) == 0


def _multiplies_images(builder: PlanBuilder, node: Node, examples: Examples) -> bool:
    """Whether an Einsum has the images anywhere but as the first axis of all that is computed."""
    terms, result = subscripts(node.attributes, len(examples))
    ranks = [0 if x is None else x.ndim for x in examples]
    letters = [len(term.replace("...", "")) for term in (*terms, result)]
    others = max(rank - count for rank, count in zip(ranks, letters, strict=False))
    first = axes_of_term(result, letters[-1] + others * ("..." in result))[:1]
    computed = [
        axes_of_term(term, rank)[:1]
        for name, term, rank in zip(node.inputs, terms, ranks, strict=True)
        if name in builder.values
    ]
    return first == [] or any(images != first for images in computed)


def _takes_images(builder: PlanBuilder, node: Node, examples: Examples) -> bool:
    """Whether a GatherND or ScatterND chooses among the images, or rows of a constant by image."""
    has_own_rows = int(node.attributes.get("batch_dims", 0)) > 0
    return (node.inputs[0] in builder.values) != has_own_rows


def _has_places_of_others(builder: PlanBuilder, node: Node, examples: Examples) -> bool:
    """Whether a GatherElements or ScatterElements uses the elements of other images.

    Along `axis` any elements are read; of every other axis those with the index of the place.
    """
    x, places = examples[:2]
    if x is None or places is None:
        return True
    is_along_first = int(node.attributes.get("axis", 0)) % max(1, x.ndim) == 0
    if node.inputs[0] not in builder.values:
        return not is_along_first
    return is_along_first or len(places) != len(x)


def _has_images_as_rows(builder: PlanBuilder, node: Node, examples: Examples) -> bool:
    """Whether the images are the rows of the matrix whose diagonals an operator tells apart."""
    return examples[0] is None or examples[0].ndim < 3


def _counts_images(builder: PlanBuilder, node: Node, examples: Examples) -> bool:
    """Whether places of a MaxPool are read, which count from the first image of the batch.

    The difference of the places of two pools of one map is the same for each image: torch exports
    places in a map in this way.
    """
    return len(node.outputs) > 1 and not _is_cancelled(builder.graph, node, node.outputs[-1])


def _is_cancelled(graph: Graph, pool: Node, places: str) -> bool:
    return places not in graph.outputs and all(
        _is_cancelled(graph, pool, reader.outputs[0])
        if reader.kind == "Slice" and reader.inputs[0] == places
        else reader.kind == "Sub" and all(_is_of_pool(graph, pool, x) for x in reader.inputs)
        for reader in graph.readers(places)
    )


def _is_of_pool(graph: Graph, pool: Node, name: str) -> bool:
    """Whether a value holds places of the input of a MaxPool."""
    maker = graph.makers.get(name)
    while maker is not None and maker.kind == "Slice":
        name = maker.inputs[0]
        maker = graph.makers.get(name)
    if maker is None or maker.kind != "MaxPool":
        return False
    return maker.outputs[0] != name and maker.inputs[0] == pool.inputs[0]


def _steps_over_images(builder: PlanBuilder, node: Node, examples: Examples) -> bool:
    """Whether a recurrent layer takes the images for its steps."""
    return not node.attributes.get("layout", 0)


_MIXES: Final[dict[str, Callable[[PlanBuilder, Node, Examples], bool]]] = {
    "CumSum": _sums_images,
    "Einsum": _multiplies_images,
    "EyeLike": _has_images_as_rows,
    "GatherElements": _has_places_of_others,
    "GatherND": _takes_images,
    "MaxPool": _counts_images,
    "ScatterElements": _has_places_of_others,
    "ScatterND": _takes_images,
    "Slice": _slices_images,
    "Trilu": _has_images_as_rows,
    **dict.fromkeys(RECURRENT, _steps_over_images),
}
