"""Lowering of recurrent layers, whose inputs and results have the time or direction first.

X is (T, N, I) and Y is (T, D, N, H) in ONNX. Files of bnnkit's exporter hold the layer between
transpositions from and to values with the batch first, so these are what is stored: (N, T, I) and
(N, T, D, H). The layer is computed with `layout` 1, which means that.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.operators.facts import RECURRENT
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.lowering.numpy_operator import lower_to_numpy, with_one_output
from bnnkit.runtime.lowering.plan_builder import PlanBuilder

_X: Final = (1, 0, 2)
"""The axes of X with the batch first."""
_STATE: Final = (1, 0, 2)
"""Those of a state."""
_Y: Final = (2, 0, 1, 3)
"""Those of Y."""


def lower_recurrent(builder: PlanBuilder, node: Node) -> bool:
    """Lower a recurrent layer with `layout` 0, or a transposition before or after it.

    Returns:
        Whether the node is one.

    Raises:
        UnsupportedError: If the layer reads a value that is not transposed from one with the batch
            first.
    """
    if node.kind in RECURRENT and not node.attributes.get("layout", 0):
        _lower_layer(builder, node)
        return True
    if node.kind != "Transpose":
        return False
    source = node.inputs[0]
    if source in builder.time_first:
        _lower_transposed(builder, node)
        return True
    readers = builder.graph.readers(node.outputs[0])
    is_before = readers and all(reader.kind in RECURRENT for reader in readers)
    if not is_before or tuple(node.attributes.get("perm", ())) != _X:
        return False
    if builder.kind(source) not in ("real", "image"):
        return False
    builder.time_first[node.outputs[0]] = source, _X
    return True


def _lower_layer(builder: PlanBuilder, node: Node) -> None:
    inputs = []
    for index, name in enumerate(node.inputs):
        if name in builder.values or (index in (0, 5, 6) and name in builder.constants):
            raise UnsupportedError(
                f"node {node.name!r} ({node.kind}): expected {name!r} to be transposed from a"
                " value with the batch first"
            )
        inputs.append(builder.time_first[name][0] if name in builder.time_first else name)
    first = replace(node, inputs=tuple(inputs), attributes={**node.attributes, "layout": 1})
    for place, name in enumerate(node.outputs):
        if name and builder.graph.readers(name):
            target = f"{name}/first"
            lower_to_numpy(builder, with_one_output(first, place, target))
            builder.time_first[name] = target, _STATE if place else _Y
        elif name in builder.graph.outputs:
            raise UnsupportedError(
                f"node {node.name!r} ({node.kind}): expected the output {name!r} to have the batch"
                " first"
            )


def _lower_transposed(builder: PlanBuilder, node: Node) -> None:
    """Lower a transposition of a result: one of what is stored."""
    source, order = builder.time_first[node.inputs[0]]
    perm = node.attributes.get("perm", tuple(reversed(range(len(order)))))
    stored = np.argsort(order)  # the place of each of ONNX's axes
    moved = [int(stored[axis]) for axis in perm]
    lower_to_numpy(
        builder, replace(node, inputs=(source,), attributes={**node.attributes, "perm": moved})
    )
