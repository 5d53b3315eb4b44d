"""Brings operands that broadcast into the same layout."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import layout
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import Kind, TfliteValue


def operands(builder: TfliteBuilder, node: Node, *kinds: Kind) -> tuple[list[int], TfliteValue]:
    """The tensors of a node's inputs in the same layout, and a value that has this layout.

    Args:
        builder: Gets the operators that convert layouts.
        node: At least one of its inputs is computed; constants are converted.
        kinds: The kind that each input must have.

    Raises:
        UnsupportedError: An input is of another kind, or the numbers of axes differ.
    """
    if len(node.inputs) != len(kinds):
        raise UnsupportedError(f"expected {len(kinds)} inputs, got {len(node.inputs)}")
    values: dict[str, TfliteValue] = {}
    for name, kind in zip(node.inputs, kinds, strict=True):
        if name in builder.values:
            values[name] = builder.values[name]
            if values[name].kind != kind:
                raise UnsupportedError(f"expected {_WORDS[kind]}, got {values[name].kind}")
    if len({len(value.shape) for value in values.values()}) > 1:
        shapes = ", ".join(f"(N, *{value.shape})" for value in values.values())
        raise UnsupportedError(f"expected values with the same number of axes, got {shapes}")
    if not _have_same_layout(builder, node, list(values.values())):
        values = {name: layout.in_onnx_layout(builder, value) for name, value in values.items()}
    first, *_ = values.values()
    tensors = [
        values[name].tensor
        if name in values
        else builder.constant(
            layout.constant_beside(first, builder.source.constants[name]).astype(_DTYPES[kind])
        )
        for name, kind in zip(node.inputs, kinds, strict=True)
    ]
    return tensors, first


_DTYPES: dict[Kind, type[Any]] = {"real": np.float32, "bool": np.bool_}
_WORDS: dict[Kind, str] = {"real": "real numbers", "bool": "bools"}


def result_like(
    builder: TfliteBuilder, like: TfliteValue, tensor: int, kind: Kind = "real"
) -> TfliteValue:
    """The value of an operator's result, whose operands have the layout of `like`."""
    stored, shape, pixels = builder.shape(tensor), like.shape, like.map
    if len(shape) == 3:
        shape = pixels = (stored[3], stored[1], stored[2])
    elif pixels is None:
        shape = stored[1:]
    return replace(like, kind=kind, tensor=tensor, shape=shape, map=pixels, may_be_minus_zero=True)


def _have_same_layout(builder: TfliteBuilder, node: Node, values: list[TfliteValue]) -> bool:
    """Whether elements that belong together are in the same places, or TFLite broadcasts them."""
    first, *others = values
    if len(first.shape) == 3:
        return True
    if any((first.map, first.shape) != (other.map, other.shape) for other in others):
        return False
    constants = [builder.source.constants.get(name) for name in node.inputs]
    sizes = {constant.size for constant in constants if constant is not None}
    return first.map is None or sizes <= {1, math.prod(first.shape)}
