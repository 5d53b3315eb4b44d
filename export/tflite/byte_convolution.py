"""Emits binary convolutions by builtin operators, with one byte a weight.

If the result is signs (int8): the weights are -2 and +2, the bias is 1 - 2t, and all scales are 1,
so the int32 accumulator is 2 (sum - t) + 1. It is odd: at least +1 if sum >= t, and at most -1
otherwise. Requantization by 1 does not change it, neither in fixed point (the multiplier is 2^30
with a shift by 1) nor through float32 (rounding keeps the sign, and magnitudes of at least 1 stay
so). The fused RELU_N1_TO_1 then clamps it to -1 or +1. As sums are below 2^23, the accumulator
cannot overflow.

If the result is numbers (float32): TFLite has no layer with int32 results. The weights are stored
as int8 with a DEQUANTIZE, which an interpreter runs once. Every partial sum is an integer below
2^24, so the sums are exact.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic, convolution
from bnnkit.export.tflite.convolution import Taps
from bnnkit.export.tflite.epilogue import Epilogue, Thresholds
from bnnkit.export.tflite.layout import as_map, materialized
from bnnkit.export.tflite.plain import plain_convolution
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.schema import Activation, Builtin
from bnnkit.tflite.window import NO_PADS, Window


def convolve(
    builder: TfliteBuilder,
    x: TfliteValue,
    weight: NDArray[Any],
    window: Window,
    epilogue: Epilogue,
    n_groups: int,
) -> int:
    """Emit a convolution of int8 signs.

    Args:
        builder: Gets the operators.
        x: Signs; a margin of +1 becomes a PADV2 before the layer.
        weight: (O, KH, KW, I / groups), values in {-1, +1}.
        window: Window of the convolution; its pads are zeros, as in TFLite.
        epilogue: Turns the sums into signs (int8) or numbers (float32).
        n_groups: Groups of input and of output channels.
    """
    form = "int8" if isinstance(epilogue, Thresholds) else "float32, its weights from a DEQUANTIZE"
    if x.margin != NO_PADS:
        form += ", after a PADV2"
    with builder.choosing(
        f"convolution of {form}",
        "builtin operators have no binary layer: one byte a weight",
        plain=plain_convolution(builder, x, weight, window, epilogue),
        extra_bytes=weight.size - weight.size // 8,
    ):
        return _emit(builder, x, weight, window, epilogue, n_groups)


def _emit(
    builder: TfliteBuilder,
    x: TfliteValue,
    weight: NDArray[Any],
    window: Window,
    epilogue: Epilogue,
    n_groups: int,
) -> int:
    tensor, _ = as_map(builder, materialized(builder, x))
    if isinstance(epilogue, Thresholds):
        bias = (1 - 2 * epilogue.values).astype(np.int32)
        taps = Taps((2 * weight).astype(np.int8), bias, Activation.RELU_N1_TO_1)
        return convolution.convolve(builder, tensor, taps, window, n_groups)
    shape = builder.shape(tensor)
    numbers = builder.emit(Builtin.DEQUANTIZE, [tensor], shape)
    taps = Taps(weight.astype(np.int8), np.zeros(len(weight), np.float32))
    sums = convolution.convolve(builder, numbers, taps, window, n_groups)
    return arithmetic.apply_epilogue(builder, sums, epilogue)
