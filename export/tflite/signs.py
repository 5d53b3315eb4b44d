"""Lowers Sign, Threshold and DequantizeLinear, which convert between numbers and signs."""

from dataclasses import replace

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.epilogue import minus
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.schema import TensorType


def sign(builder: TfliteBuilder, node: Node) -> None:
    """Lower Sign: +1 if x >= 0."""
    x = builder.value(node)
    tensor, pixels = layout.as_map(builder, x)
    result = builder.signs.of_reals(builder, tensor, may_be_minus_zero=x.may_be_minus_zero)
    builder.give(node.output, TfliteValue(kind="signs", tensor=result, shape=x.shape, map=pixels))


def threshold(builder: TfliteBuilder, node: Node) -> None:
    """Lower Threshold of sums that other nodes need too: a difference, and its signs."""
    x = builder.value(node)
    tensor, pixels = layout.as_map(builder, x)
    values = layout.constant_beside(replace(x, map=pixels), builder.constant_of(node, 1))
    difference = arithmetic.add(builder, tensor, minus(values.astype(np.int64)))
    result = builder.signs.of_reals(builder, difference)
    builder.give(node.output, TfliteValue(kind="signs", tensor=result, shape=x.shape, map=pixels))


def dequantize_linear(builder: TfliteBuilder, node: Node) -> None:
    """Lower DequantizeLinear of signs: -1.0 and +1.0, times a scale."""
    x = layout.materialized(builder, builder.value(node))
    step = builder.constant_of(node, 1)
    zero_point = builder.constant_of(node, 2) if len(node.inputs) > 2 else np.uint8(0)
    if x.kind != "signs" or np.any(zero_point != 1) or step.size != 1:
        raise UnsupportedError(
            f"expected signs with one scale and zero point 1, got {x.kind} with {step.size} scales"
            f" and zero point {np.unique(zero_point).tolist()}"
        )
    numbers = x.tensor
    if x.map is not None:
        numbers = builder.signs.to_numbers(builder, numbers, x.map[0])
    elif builder.type(numbers) is not TensorType.FLOAT32:
        numbers = builder.signs.to_numbers(builder, numbers, x.shape[-1])
    if step.item() != 1:
        numbers = arithmetic.scale(builder, numbers, step.reshape(1))
    builder.give(node.output, layout.real(x, numbers))
