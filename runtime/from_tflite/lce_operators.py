"""Larq Compute Engine's operators but for the convolution, as bnnkit's.

References:
    https://docs.larq.dev/compute-engine/operators/ and the sources of version 0.16.0.
"""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.numbers import give_rounded, scale_of
from bnnkit.runtime.from_tflite.values import Value, axis_of, n_words
from bnnkit.runtime.from_tflite.window import POOLED, Window, padding_of
from bnnkit.tflite.flexbuffer import read_map
from bnnkit.tflite.network import Operator
from bnnkit.tflite.schema import TensorType

Array = NDArray[Any]


def quantize(draft: Draft, operator: Operator) -> None:
    """LceQuantize: the signs of numbers, +1 where x >= 0; true is +1."""
    value = draft.value(operator)
    if value.kind == "plain":
        raise UnsupportedError("expected float32, int8 with a scale, or bool")
    name = value.name
    if value.kind != "signs":
        name = draft.emit_binary("Sign", [value.name])
    elif draft.tensor(operator.inputs[0]).type != TensorType.BOOL:
        raise UnsupportedError("expected numbers, got packed signs")
    else:
        name = draft.emit("Identity", [name])
    draft.give(operator.output, Value(name=name, kind="signs", shape=value.shape))


def dequantize(draft: Draft, operator: Operator) -> None:
    """LceDequantize: signs as -1 and +1, the channels as the output has them."""
    value = signs_of(draft, operator)
    tensor = draft.tensor(operator.output)
    channels = tensor.shape[-1] if tensor.shape else 0
    if channels > 0 and n_words(channels) == n_words(value.shape[-1]):
        value = with_channels(draft, value, channels)
    if tensor.type == TensorType.BOOL:
        name = draft.emit("Identity", [value.name])
        draft.give(operator.output, Value(name=name, kind="signs", shape=value.shape))
        return
    numbers = as_real(draft, value)
    if tensor.type == TensorType.FLOAT32:
        draft.give(operator.output, Value(name=numbers, kind="real", shape=value.shape))
        return
    scale, _ = scale_of(tensor)
    steps = draft.emit("Div", [numbers, draft.constant(scale)])
    give_rounded(draft, operator, steps, value.shape)


def with_channels(draft: Draft, value: Value, channels: int) -> Value:
    """Signs with as many channels, in the same words: unused bits are +1, or are left out."""
    rank, given = len(value.shape), value.shape[-1]
    if channels == given:
        return value
    axis = axis_of(-1, rank)
    if channels > given:
        widths = np.zeros((2, rank), np.int64)
        widths[1, axis] = channels - given
        inputs = [
            value.name,
            draft.constant(widths.ravel(), np.int64),
            draft.constant(2, np.uint8),
        ]
        name = draft.emit("Pad", inputs)
    else:
        numbers = [draft.constant([n], np.int64) for n in (0, channels, axis)]
        name = draft.emit("Slice", [value.name, *numbers])
    return replace(value, name=name, shape=(*value.shape[:-1], channels))


def as_real(draft: Draft, value: Value) -> str:
    """Signs as -1.0 and +1.0."""
    one = draft.constant(1.0), draft.constant(1, np.uint8)
    return draft.emit("DequantizeLinear", [value.name, *one])


def max_pool(draft: Draft, operator: Operator) -> None:
    """LceBMaxPool2d: the sign of the maximum of a window, which SAME clips at the border."""
    value = signs_of(draft, operator)
    options = options_of(
        operator,
        ("padding", "stride_width", "stride_height", "filter_width", "filter_height"),
    )
    window = Window(
        kernel=(options["filter_height"], options["filter_width"]),
        strides=(options["stride_height"], options["stride_width"]),
        padding=padding_of(options["padding"]),
    )
    batch, height, width, channels = map_of(value)
    window.spend(draft.budget, value.shape, POOLED * channels * prod(window.kernel))
    name = draft.emit("MaxPool", [value.name], **window.attributes((height, width)))
    shape = (batch, *window.output((height, width)), channels)
    draft.give(operator.output, Value(name=name, kind="signs", shape=shape))


def signs_of(draft: Draft, operator: Operator) -> Value:
    """The first input, which must be packed signs.

    Raises:
        UnsupportedError: It is something else.
    """
    value = draft.value(operator)
    if value.kind != "signs":
        raise UnsupportedError("expected packed signs that LceQuantize or LceBconv2d has made")
    return value


def map_of(value: Value) -> tuple[int, int, int, int]:
    """Batch, height, width and channels.

    Raises:
        UnsupportedError: It is no map.
    """
    if len(value.shape) != 4:
        raise UnsupportedError(f"expected a map (N, H, W, C), got the shape {value.shape}")
    batch, height, width, channels = value.shape
    return batch, height, width, channels


def options_of(operator: Operator, names: tuple[str, ...]) -> dict[str, int]:
    """The custom options; all must be there, and others none of them.

    Raises:
        ArtifactError: One is missing, or there is an unknown one.
    """
    found = read_map(operator.custom_options)
    if missing := sorted(set(names) - found.keys()):
        raise ArtifactError(f"the options lack {', '.join(missing)}")
    if unknown := sorted(found.keys() - set(names)):
        raise UnsupportedError(f"unknown options {', '.join(unknown)}")
    return found
