"""Where numbers become signs, and signs numbers."""

from dataclasses import replace

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.follow import minus
from bnnkit.export.tflite.lce_operators import dequantize, quantize
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.values import Value


def sign(draft: Draft, node: Node) -> None:
    """LceQuantize; behind an ADD of 0 where -0.0 can come, which is -1 on ARM."""
    x = draft.value(node)
    tensor, pixels = layout.as_map(draft, x)
    if x.may_be_minus_zero:
        draft.choose("ADD of 0 + LceQuantize", "-0.0 can come, which LCE takes for -1 on ARM")
        tensor = arithmetic.add(draft, tensor, np.zeros(1))
    packed = quantize(draft, tensor)
    draft.give(node.output, Value(kind="signs", tensor=packed, shape=x.shape, map=pixels))


def threshold(draft: Draft, node: Node) -> None:
    """Of sums that others need as well: a difference, then LceQuantize."""
    x = draft.value(node)
    tensor, pixels = layout.as_map(draft, x)
    values = layout.constant_beside(replace(x, map=pixels), draft.constant_of(node, 1))
    packed = quantize(draft, arithmetic.add(draft, tensor, minus(values.astype(np.int64))))
    draft.give(node.output, Value(kind="signs", tensor=packed, shape=x.shape, map=pixels))


def dequantize_linear(draft: Draft, node: Node) -> None:
    """LceDequantize, and a scale if there is one."""
    x = layout.settled(draft, draft.value(node))
    step = draft.constant_of(node, 1)
    zero_point = draft.constant_of(node, 2) if len(node.inputs) > 2 else np.uint8(0)
    if x.kind != "signs" or x.map is None or np.any(zero_point != 1) or step.size != 1:
        raise UnsupportedError(
            f"{node.name} (DequantizeLinear): expected signs with one scale and zero point 1"
        )
    numbers = dequantize(draft, x.tensor, x.map[0])
    if step.item() != 1:
        numbers = arithmetic.scale(draft, numbers, step.reshape(1))
    draft.give(node.output, layout.real(x, numbers))
