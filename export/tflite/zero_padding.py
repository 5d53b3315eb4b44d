"""Emits binary convolutions with zero padding, which packed signs cannot represent."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic, one_padding
from bnnkit.export.tflite.epilogue import Epilogue, Thresholds, as_numbers
from bnnkit.export.tflite.layout import as_map, materialized
from bnnkit.export.tflite.lce_operators import bconv2d, quantize
from bnnkit.export.tflite.plain import plain_convolution
from bnnkit.export.tflite.report import Cost
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.schema import Padding
from bnnkit.tflite.window import Pair, Window


def convolve(
    builder: TfliteBuilder,
    x: TfliteValue,
    weight: NDArray[Any],
    window: Window,
    epilogue: Epilogue,
) -> int:
    """Emit a convolution with zero padding, in one of two exact forms.

    LCE only pads with zeros if the result is float32, so thresholds become its bias, and
    LceQuantize follows. If its kernels refuse the layer, or are wrong, the map is padded with +1,
    and the contribution of these pixels is subtracted from the sums.

    Args:
        builder: Gets the operators.
        x: Signs.
        weight: (O, KH, KW, I), values in {-1, +1}.
        window: Window of the convolution.
        epilogue: Applied to the sums.
    """
    plain = plain_convolution(builder, x, weight, window, epilogue)
    x = materialized(builder, x)
    tensor, (channels, height, width) = as_map(builder, x)
    size, scaled = (height, width), as_numbers(epilogue)
    if not is_exact_in_lce(window, size, channels):
        return _corrected(builder, x, weight, window, epilogue, plain)
    if epilogue is scaled:
        return bconv2d(builder, tensor, weight, window, scaled, padding=Padding.SAME)
    reason = "zero padding has no packed output"
    with builder.choosing("LceBconv2d to float32 + LceQuantize", reason, plain=plain):
        result = bconv2d(builder, tensor, weight, window, scaled, padding=Padding.SAME)
        return quantize(builder, result)


def is_exact_in_lce(window: Window, size: Pair, channels: int) -> bool:
    """Whether all kernels of LCE 0.16 pad this layer with zeros correctly.

    The default and the indirect kernel are wrong for maps smaller than the window. The reference
    kernel is wrong for odd channels, as half the bits of an outside pixel is not an integer.
    """
    fits = all(n >= extent for n, extent in zip(size, window.extent, strict=True))
    return window.is_same(size) and fits and channels % 2 == 0


def _corrected(
    builder: TfliteBuilder,
    x: TfliteValue,
    weight: NDArray[Any],
    window: Window,
    epilogue: Epilogue,
    plain: Cost,
) -> int:
    """Emit a convolution padded with +1, and an ADD that subtracts the weights on the padding."""
    _, (_, height, width) = as_map(builder, x)
    scaled = as_numbers(epilogue)
    excess = outside_sums(weight, window, (height, width))
    correction = (scaled.bias - excess * scaled.scale).astype(np.float32)
    with builder.choosing(
        "LceBconv2d padded with +1, and an ADD that subtracts their sums",
        f"LCE cannot pad the window {window.kernel}, stride {window.strides}, pads {window.pads}"
        " of this map with zeros",
        plain=plain,
        extra_bytes=correction.nbytes,
    ):
        padded = replace(x, margin=window.pads)
        unbiased = replace(scaled, bias=np.zeros_like(scaled.bias))
        result = one_padding.convolve(builder, padded, weight, window, unbiased)
        result = arithmetic.add(builder, result, correction)
        return quantize(builder, result) if isinstance(epilogue, Thresholds) else result


def outside_sums(weight: NDArray[Any], window: Window, size: Pair) -> NDArray[np.float32]:
    """Sum of the weights on pixels outside the map, for each output, (1, OH, OW, O)."""
    top, left, bottom, right = window.pads
    outside = np.pad(np.zeros(size), ((top, bottom), (left, right)), constant_values=1)
    rows, columns = window.output(size)
    taps = weight.sum(axis=-1, dtype=np.float32)  # (O, KH, KW)
    total = np.zeros((1, rows, columns, len(weight)), np.float32)
    for ky in range(window.kernel[0]):
        for kx in range(window.kernel[1]):
            looked_at = outside[
                ky * window.dilations[0] :: window.strides[0],
                kx * window.dilations[1] :: window.strides[1],
            ][:rows, :columns]
            total += looked_at[None, :, :, None] * taps[:, ky, kx]
    return total
