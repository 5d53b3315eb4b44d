"""Emits binary convolutions of packed signs, with or without groups of channels.

LCE's default kernel refuses groups. If every group fills whole words, each becomes a convolution.
Otherwise the layer becomes a float convolution of -1.0 and +1.0, whose sums are the same integers.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic, convolution, one_padding, zero_padding
from bnnkit.export.tflite.convolution import Taps
from bnnkit.export.tflite.epilogue import Epilogue, Thresholds, as_numbers
from bnnkit.export.tflite.layout import as_map, materialized
from bnnkit.export.tflite.lce_operators import dequantize, quantize
from bnnkit.export.tflite.plain import plain_convolution
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import LCE_WORD_BITS, TfliteValue
from bnnkit.tflite.window import NO_PADS, Window


def convolve(
    builder: TfliteBuilder,
    x: TfliteValue,
    weight: NDArray[Any],
    window: Window,
    epilogue: Epilogue,
    n_groups: int,
) -> int:
    """Emit a binary convolution.

    Args:
        builder: Gets the operators.
        x: Signs.
        weight: (O, KH, KW, I / groups), values in {-1, +1}.
        window: Window of the convolution; its pads are zeros.
        epilogue: Applied to the sums.
        n_groups: Groups of input and of output channels.
    """
    if n_groups == 1 and window.pads == NO_PADS:
        return one_padding.convolve(builder, x, weight, window, epilogue)
    if n_groups == 1:
        return zero_padding.convolve(builder, x, weight, window, epilogue)
    if weight.shape[-1] % LCE_WORD_BITS == 0:
        return _group_by_group(builder, x, weight, window, epilogue, n_groups)
    return _in_float(builder, x, weight, window, epilogue, n_groups)


def _group_by_group(
    builder: TfliteBuilder,
    x: TfliteValue,
    weight: NDArray[Any],
    window: Window,
    epilogue: Epilogue,
    n_groups: int,
) -> int:
    outputs, channels = len(weight) // n_groups, weight.shape[-1]
    words = channels // LCE_WORD_BITS
    # Packed outputs can only be concatenated if they fill their words.
    packs_late = isinstance(epilogue, Thresholds) and outputs % LCE_WORD_BITS > 0
    each = as_numbers(epilogue) if packs_late else epilogue
    tensor, (_, height, width) = as_map(builder, x)
    parts = []
    with builder.choosing(
        f"{n_groups} x LceBconv2d",
        "LCE's default kernel refuses groups: a slice for each, and a concatenation",
        plain=plain_convolution(builder, x, weight, window, epilogue),
    ):
        for group in range(n_groups):
            mine = slice(group * outputs, (group + 1) * outputs)
            part = arithmetic.slice_channels(builder, tensor, group * words, (group + 1) * words)
            signs = replace(x, tensor=part, map=(channels, height, width))
            parts.append(convolve(builder, signs, weight[mine], window, each.part(mine), 1))
        result = arithmetic.concatenate(builder, parts, axis=3)
        return quantize(builder, result) if packs_late else result


def _in_float(
    builder: TfliteBuilder,
    x: TfliteValue,
    weight: NDArray[Any],
    window: Window,
    epilogue: Epilogue,
    n_groups: int,
) -> int:
    with builder.choosing(
        "LceDequantize + float convolution",
        f"groups of {weight.shape[-1]} channels do not fill words of {LCE_WORD_BITS}",
        plain=plain_convolution(builder, x, weight, window, epilogue),
        extra_bytes=weight.size * 4 - weight.size // 8,
    ):
        x = materialized(builder, x)
        tensor, (channels, _, _) = as_map(builder, x)
        numbers = dequantize(builder, tensor, channels)
        taps = Taps.real(weight, np.zeros(len(weight)))
        # Exact: every partial sum is an integer below 2^24.
        sums = convolution.convolve(builder, numbers, taps, window, n_groups)
        return arithmetic.apply_epilogue(builder, sums, epilogue)
