"""Signs that operators move to other places, such as to the heads of attention.

They are not moved before a reader is known: matrix products pack their operands from the signs as
they lie in memory. For all other readers NumPy moves them, operator by operator.
"""

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard import STANDARD_OPERATORS, arguments
from bnnkit.runtime.lowering.numpy_operator import BATCHES, example, lower_to_numpy
from bnnkit.runtime.lowering.plan_builder import MovedSigns, PlanBuilder
from bnnkit.runtime.memory.values import Array, Value

MOVES = {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Identity"}
_MOST = 1 << 20
"""Most signs of an image whose places, 8 MB for each move, are kept."""


def lower_move_of_signs(builder: PlanBuilder, node: Node) -> bool:
    """Defer an operator that moves signs.

    Returns:
        Whether the node is one.
    """
    if node.kind not in MOVES or not builder.forms.fuses:
        return False
    before = moved_signs(builder, node.inputs[0])
    if before is None:
        return False
    places = _moved(builder, node, before.places)
    if places is None:
        return False
    moved = MovedSigns(source=before.source, nodes=(*before.nodes, node), places=places)
    builder.moved[node.outputs[0]] = moved
    builder.values[node.outputs[0]] = Value(
        kind="codes", shape=places.shape, dtype=np.dtype(np.uint8)
    )
    return True


def moved_signs(builder: PlanBuilder, name: str) -> MovedSigns | None:
    """Return where signs come from; None for other values."""
    if name in builder.moved:
        return builder.moved[name]
    value = builder.values.get(name)
    if value is None or value.kind != "signs" or not value.is_map:
        return None
    if name in builder.padded or name in builder.flattened or np.prod(value.shape) > _MOST:
        return None
    places = np.arange(int(np.prod(value.shape))).reshape(value.shape)
    return MovedSigns(source=name, nodes=(), places=places)


def _moved(builder: PlanBuilder, node: Node, places: Array) -> Array | None:
    """Return the places after an operator; None if it mixes images or has computed operands."""
    if any(name in builder.values and builder.kind(name) != "shape" for name in node.inputs[1:]):
        return None
    for batch in BATCHES:
        images = places + places.size * np.arange(batch).reshape(batch, *[1] * places.ndim)
        others = [_operand(builder, name, batch) for name in node.inputs[1:]]
        try:
            function = STANDARD_OPERATORS[node.kind]
            found = function(node.attributes, *arguments([images, *others]))
        except (ValueError, IndexError, TypeError, KeyError):
            return None  # NumPy's lowering says what is wrong
        if found.shape[:1] != (batch,):
            return None
        if any(not np.array_equal(x, found[0] + i * places.size) for i, x in enumerate(found)):
            return None
    first: Array = found[0]
    return first


def _operand(builder: PlanBuilder, name: str, batch: int) -> Array | None:
    if name in builder.constants or not name:
        return builder.constants.get(name)
    return example(builder, name, batch)


def move_in_numpy(builder: PlanBuilder, name: str) -> None:
    """Append the steps that move deferred signs, for a reader that cannot use packed ones."""
    for node in builder.moved[name].nodes:
        (target,) = node.outputs
        if target in builder.moved:
            del builder.moved[target], builder.values[target]
            lower_to_numpy(builder, node)
