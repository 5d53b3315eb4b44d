"""Binary convolutions by builtin operators, with weights of a byte each.

To signs, int8: the weights are -2 and +2, the bias 1 - 2t, and all scales are 1, so the int32
accumulator is 2 (sum - t) + 1. That is odd: at least +1 where sum >= t, and at most -1 elsewhere.
Requantization by 1 leaves it as it is, in fixed point (the multiplier is 2^30 with a shift by 1)
and through float32 (rounding keeps a sign and takes nothing of magnitude 1 or more below 1), and
the fused RELU_N1_TO_1 clamps it to -1 or +1. No accumulator comes near 2^31, as sums are below
2^23.

To numbers, float32: TFLite gives no int32 sums. The weights lie as int8 behind a DEQUANTIZE, which
an interpreter does once; every partial sum is an integer below 2^24, so the sums are exact.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic, convolution
from bnnkit.export.tflite.convolution import Taps
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.follow import Follow, Thresholds
from bnnkit.export.tflite.layout import as_map, settled
from bnnkit.export.tflite.plain import plain_convolution
from bnnkit.export.tflite.values import Value
from bnnkit.tflite import options
from bnnkit.tflite.schema import Activation, Builtin
from bnnkit.tflite.window import NO_PADS, Window


def convolve(
    draft: Draft,
    x: Value,
    weight: NDArray[Any],
    window: Window,
    follow: Follow,
    n_groups: int,
) -> int:
    """A convolution of int8 signs.

    Args:
        draft: Gets the operators.
        x: Signs; a margin of +1 becomes a PADV2 before the layer.
        weight: (O, KH, KW, I / groups), values in {-1, +1}.
        window: Of the convolution; its pads are zeros, which are what TFLite pads with.
        follow: What comes of the sums: signs as int8, or numbers.
        n_groups: Groups of input and of output channels.
    """
    form = "int8" if isinstance(follow, Thresholds) else "float32, its weights behind DEQUANTIZE"
    if x.margin != NO_PADS:
        form += ", behind a PADV2"
    with draft.choosing(
        f"convolution of {form}",
        "builtin operators have no layer of bits: a byte a weight",
        plain=plain_convolution(draft, x, weight, window, follow),
        extra_bytes=weight.size - weight.size // 8,
    ):
        return _emit(draft, x, weight, window, follow, n_groups)


def _emit(
    draft: Draft,
    x: Value,
    weight: NDArray[Any],
    window: Window,
    follow: Follow,
    n_groups: int,
) -> int:
    tensor, _ = as_map(draft, settled(draft, x))
    if isinstance(follow, Thresholds):
        bias = (1 - 2 * follow.values).astype(np.int32)
        taps = Taps((2 * weight).astype(np.int8), bias, Activation.RELU_N1_TO_1)
        return convolution.convolve(draft, tensor, taps, window, n_groups)
    shape = draft.shape(tensor)
    numbers = draft.emit(Builtin.DEQUANTIZE, [tensor], shape, options=options.DEQUANTIZE)
    taps = Taps(weight.astype(np.int8), np.zeros(len(weight), np.float32))
    sums = convolution.convolve(draft, numbers, taps, window, n_groups)
    return arithmetic.finish(draft, sums, follow)
