"""Lowering of Split: one Slice for each output."""

from dataclasses import replace

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.lowering.numpy_operator import BATCHES, example, input_of, lower_to_numpy
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import Integers


def lower_split(builder: PlanBuilder, node: Node) -> bool:
    """Lower a Split whose lengths are known.

    Returns:
        Whether the node was a Split.

    Raises:
        UnsupportedError: If the lengths are computed or do not add up to the axis.
    """
    if node.kind != "Split":
        return False
    source = node.inputs[0]
    x = example(builder, input_of(builder, source), BATCHES[0])
    assert x is not None  # the input of a Split is not optional
    axis = int(node.attributes.get("axis", 0))
    ends = np.cumsum([0, *_lengths(builder, node, x.shape[axis])])
    if ends[-1] != x.shape[axis] or len(ends) != len(node.outputs) + 1:
        raise UnsupportedError(
            f"node {node.name!r} (Split): expected {len(node.outputs)} lengths that add up to"
            f" {x.shape[axis]}, got {np.diff(ends).tolist()}"
        )
    for target, start, end in zip(node.outputs, ends, ends[1:], strict=False):
        if target:
            _slice(builder, node, target, np.array([[start], [end], [axis]]))
    return True


def _lengths(builder: PlanBuilder, node: Node, size: int) -> list[int]:
    if any(node.inputs[1:]):
        lengths: list[int] = builder.constant(node, 1).tolist()
        return lengths
    parts = int(node.attributes.get("num_outputs", len(node.outputs)))
    most = -(-size // parts)
    return [min(most, size - i * most) for i in range(parts)]


def _slice(builder: PlanBuilder, node: Node, target: str, bounds: Integers) -> None:
    """Append a Slice from the first to the second of the bounds, along the third."""
    source = node.inputs[0]
    if source in builder.constants:
        slice_, x = STANDARD_OPERATORS["Slice"], builder.constants[source]
        builder.constants[target] = slice_({}, x, *bounds)
        return
    names = [f"{target}/{name}" for name in ("start", "end", "axis")]
    builder.constants.update(zip(names, bounds, strict=True))
    part = replace(node, kind="Slice", inputs=(source, *names), outputs=(target,), attributes={})
    lower_to_numpy(builder, part)
