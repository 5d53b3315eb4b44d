"""Where numbers become signs, and signs numbers."""

from dataclasses import replace

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.follow import minus
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.values import Value
from bnnkit.tflite.schema import TensorType


def sign(draft: Draft, node: Node) -> None:
    """+1 where x >= 0."""
    x = draft.value(node)
    tensor, pixels = layout.as_map(draft, x)
    result = draft.signs.of_reals(draft, tensor, may_be_minus_zero=x.may_be_minus_zero)
    draft.give(node.output, Value(kind="signs", tensor=result, shape=x.shape, map=pixels))


def threshold(draft: Draft, node: Node) -> None:
    """Of sums that others need as well: a difference, and its signs."""
    x = draft.value(node)
    tensor, pixels = layout.as_map(draft, x)
    values = layout.constant_beside(replace(x, map=pixels), draft.constant_of(node, 1))
    difference = arithmetic.add(draft, tensor, minus(values.astype(np.int64)))
    result = draft.signs.of_reals(draft, difference)
    draft.give(node.output, Value(kind="signs", tensor=result, shape=x.shape, map=pixels))


def dequantize_linear(draft: Draft, node: Node) -> None:
    """-1.0 and +1.0, and a scale if there is one."""
    x = layout.settled(draft, draft.value(node))
    step = draft.constant_of(node, 1)
    zero_point = draft.constant_of(node, 2) if len(node.inputs) > 2 else np.uint8(0)
    if x.kind != "signs" or np.any(zero_point != 1) or step.size != 1:
        raise UnsupportedError("expected signs with one scale and zero point 1")
    numbers = x.tensor
    if x.map is not None:
        numbers = draft.signs.to_numbers(draft, numbers, x.map[0])
    elif draft.type(numbers) is not TensorType.FLOAT32:
        numbers = draft.signs.to_numbers(draft, numbers, x.shape[-1])
    if step.item() != 1:
        numbers = arithmetic.scale(draft, numbers, step.reshape(1))
    draft.give(node.output, layout.real(x, numbers))
