"""Convolutions of maps of float32, or of int8 with the scale 1, by builtin operators."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic
from bnnkit.export.tflite.draft import Draft
from bnnkit.tflite import options
from bnnkit.tflite.schema import Activation, Builtin, Padding
from bnnkit.tflite.window import NO_PADS, Window


@dataclass(frozen=True, eq=False)
class Taps:
    """The constants of a convolution.

    Attributes:
        weight: float32 or int8, (O, KH, KW, I / groups); int8 is stored as such, and meets maps of
            float32 behind a DEQUANTIZE.
        bias: (O,), float32 for maps of float32, int32 for maps of int8.
        activation: Of the result.
    """

    weight: NDArray[Any]
    bias: NDArray[Any]
    activation: Activation = Activation.NONE

    @classmethod
    def real(cls, weight: NDArray[Any], bias: NDArray[Any]) -> Self:
        """Of float32."""
        return cls(weight.astype(np.float32), bias.astype(np.float32))

    def part(self, channels: slice) -> Self:
        """For some of the output channels."""
        return type(self)(self.weight[channels], self.bias[channels], self.activation)


def convolve(draft: Draft, tensor: int, taps: Taps, window: Window, n_groups: int) -> int:
    """CONV_2D, or DEPTHWISE_CONV_2D, with a PAD where its own padding would not be the same.

    XNNPACK errs with SAME where a window is smaller than the step to the next one.

    Args:
        draft: Gets the operators.
        tensor: (N, H, W, I), float32 or int8; the result is of the same type.
        taps: The weight and what follows.
        window: Its pads are zeros.
        n_groups: Groups of input and of output channels.
    """
    _, height, width, channels = draft.shape(tensor)
    padding = Padding.VALID
    if window.pads != NO_PADS and window.is_same((height, width)) and not window.has_gaps:
        padding = Padding.SAME
    elif window.pads != NO_PADS:
        tensor = arithmetic.pad(draft, tensor, window.pads)
        window = window.with_pads(NO_PADS)
    if 1 < n_groups < channels:
        return _group_by_group(draft, tensor, taps, window, padding, n_groups)
    return _emit(draft, tensor, taps, window, padding, is_depthwise=n_groups > 1)


def _emit(
    draft: Draft, tensor: int, taps: Taps, window: Window, padding: Padding, *, is_depthwise: bool
) -> int:
    batch, height, width, channels = draft.shape(tensor)
    shape = (batch, *window.output((height, width)), len(taps.weight))
    weight, code = taps.weight, Builtin.CONV_2D
    chosen = options.conv_2d(window, padding, taps.activation)
    if is_depthwise:
        weight, code = weight.transpose(3, 1, 2, 0), Builtin.DEPTHWISE_CONV_2D
        multiplier = len(taps.weight) // channels
        chosen = options.depthwise_conv_2d(window, padding, multiplier, taps.activation)
    scale = 1.0 if taps.bias.dtype == np.int32 else None
    kind = draft.type(tensor)
    stored = draft.constant(weight)
    if draft.type(stored) is not kind:
        stored = draft.emit(Builtin.DEQUANTIZE, [stored], weight.shape, options=options.DEQUANTIZE)
    inputs = [tensor, stored, draft.constant(taps.bias, scale=scale)]
    return draft.emit(code, inputs, shape, kind=kind, options=chosen)


def _group_by_group(
    draft: Draft, tensor: int, taps: Taps, window: Window, padding: Padding, n_groups: int
) -> int:
    """Not every interpreter has a CONV_2D with groups."""
    inputs, outputs = taps.weight.shape[-1], len(taps.weight) // n_groups
    parts = []
    for group in range(n_groups):
        part = arithmetic.channels(draft, tensor, group * inputs, (group + 1) * inputs)
        mine = taps.part(slice(group * outputs, (group + 1) * outputs))
        parts.append(_emit(draft, part, mine, window, padding, is_depthwise=False))
    return arithmetic.concatenate(draft, parts, axis=3)
