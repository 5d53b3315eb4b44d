"""Convolutions of float32 maps by builtin operators."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic, options
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.schema import Builtin, Padding
from bnnkit.export.tflite.window import NO_PADS, Window


def convolve(
    draft: Draft,
    tensor: int,
    weight: NDArray[Any],
    bias: NDArray[Any],
    window: Window,
    n_groups: int,
) -> int:
    """CONV_2D, or DEPTHWISE_CONV_2D, with a PAD where the pads are not TFLite's SAME.

    Args:
        draft: Gets the operators.
        tensor: (N, H, W, I).
        weight: (O, KH, KW, I / groups).
        bias: (O,).
        window: Its pads are zeros.
        n_groups: Groups of input and of output channels.
    """
    _, height, width, channels = draft.shape(tensor)
    padding = Padding.VALID
    if window.pads != NO_PADS and window.is_same((height, width)):
        padding = Padding.SAME
    elif window.pads != NO_PADS:
        tensor = arithmetic.pad(draft, tensor, window.pads)
        window = window.with_pads(NO_PADS)
    if 1 < n_groups < channels:
        return _group_by_group(draft, tensor, weight, bias, window, n_groups)
    size = window.output(draft.shape(tensor)[1:3])  # type: ignore[arg-type]
    shape = (draft.batch, *size, len(weight))
    weight, bias = weight.astype(np.float32), bias.astype(np.float32)
    if n_groups == 1:
        code, chosen = Builtin.CONV_2D, options.conv_2d(window, padding)
    else:
        code, weight = Builtin.DEPTHWISE_CONV_2D, weight.transpose(3, 1, 2, 0)
        chosen = options.depthwise_conv_2d(window, padding, len(bias) // channels)
    inputs = [tensor, draft.constant(weight), draft.constant(bias)]
    return draft.emit(code, inputs, shape, options=chosen)


def _group_by_group(
    draft: Draft,
    tensor: int,
    weight: NDArray[Any],
    bias: NDArray[Any],
    window: Window,
    n_groups: int,
) -> int:
    """Not every interpreter has a CONV_2D with groups."""
    inputs, outputs = weight.shape[-1], len(weight) // n_groups
    parts = []
    for group in range(n_groups):
        part = arithmetic.channels(draft, tensor, group * inputs, (group + 1) * inputs)
        mine = slice(group * outputs, (group + 1) * outputs)
        parts.append(convolve(draft, part, weight[mine], bias[mine], window, 1))
    return arithmetic.concatenate(draft, parts, axis=3)
