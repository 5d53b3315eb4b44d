"""Lowers operators on sequences (N, C, L) as those on maps of height 1."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bnnkit.artifact.standard.sequences import of_height_one
from bnnkit.export.tflite import layout
from bnnkit.export.tflite.source import Array, Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder

Lowering = Callable[[TfliteBuilder, Node], None]


def over_lines(lowering: Lowering) -> Lowering:
    """A lowering of maps that takes sequences too."""

    def lower(builder: TfliteBuilder, node: Node) -> None:
        x = builder.values.get(node.inputs[0])
        if x is None or len(x.shape) != 2:
            lowering(builder, node)
            return
        channels, length = x.shape
        source, target = f"{node.output}/map", f"{node.output}/of_map"
        builder.values[source] = layout.reshaped(builder, x, (channels, 1, length))
        lifted = replace(
            node,
            inputs=(source, *_constants(builder, node)),
            output=target,
            attributes=of_height_one(node.attributes),
        )
        lowering(builder, lifted)
        y = builder.values[target]
        builder.give(node.output, layout.reshaped(builder, y, (y.shape[0], y.shape[2])))

    return lower


def _constants(builder: TfliteBuilder, node: Node) -> list[str]:
    """The names of the other inputs, whose numbers of the axes get one for the height."""
    names = []
    for name in node.inputs[1:]:
        array = builder.source.constants.get(name)
        if array is None:
            names.append(name)
            continue
        lifted = f"{node.output}/{name}"
        builder.source.constants[lifted] = _lifted(node, array)
        names.append(lifted)
    return names


def _lifted(node: Node, array: Array) -> Array:
    if array.ndim == 3:  # weights
        return array[:, :, None]
    if array.shape == (3,) and node.kind == "Resize":
        return np.insert(array, 2, 1)
    if array.shape == (6,) and node.kind == "Pad":
        return np.insert(array, [2, 5], 0)
    return array
