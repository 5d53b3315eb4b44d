"""Emits the operators of Larq Compute Engine.

References:
    https://docs.larq.dev/compute-engine/operators/ and the sources of version 0.16.0.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import pack_signs
from bnnkit.export.tflite.epilogue import Epilogue, Thresholds
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import n_words
from bnnkit.tflite.lce_options import LceBconv2dOptions, LceBMaxPool2dOptions
from bnnkit.tflite.network import ABSENT
from bnnkit.tflite.schema import Padding, TensorType
from bnnkit.tflite.window import Window


def pack_words(signs: NDArray[Any]) -> NDArray[np.int32]:
    """Pack signs as in bits.py, but in words of 32 bits: int32, (..., ceil(C / 32))."""
    words = pack_signs(signs).astype("<u8", copy=False).view("<i4")
    return words[..., : n_words(signs.shape[-1])].astype(np.int32)


def quantize(builder: TfliteBuilder, tensor: int) -> int:
    """Emit LceQuantize: signs of numbers, +1 if x >= 0."""
    *outer, channels = builder.shape(tensor)
    shape = (*outer, n_words(channels))
    return builder.emit("LceQuantize", [tensor], shape, kind=TensorType.INT32)


def dequantize(builder: TfliteBuilder, tensor: int, channels: int) -> int:
    """Emit LceDequantize: signs as -1.0 and +1.0."""
    return builder.emit("LceDequantize", [tensor], (*builder.shape(tensor)[:-1], channels))


def bconv2d(
    builder: TfliteBuilder,
    tensor: int,
    weight: NDArray[np.int8],
    window: Window,
    epilogue: Epilogue,
    *,
    padding: Padding = Padding.VALID,
    pad_value: int = 0,
) -> int:
    """Emit LceBconv2d of one group.

    Args:
        builder: Gets the operator.
        tensor: Signs, (N, H, W, words).
        weight: (O, KH, KW, I), values in {-1, +1}.
        window: Its pads are ignored.
        epilogue: Thresholds for signs, or a scale and a bias for float32.
        padding: SAME or VALID.
        pad_value: What SAME pads with.
    """
    batch, height, width, _ = builder.shape(tensor)
    size = window.padded(padding, (height, width)).output((height, width))
    options = LceBconv2dOptions(
        channels_in=weight.shape[-1],
        dilation_height_factor=window.dilations[0],
        dilation_width_factor=window.dilations[1],
        pad_values=pad_value,
        padding=padding,
        stride_height=window.strides[0],
        stride_width=window.strides[1],
    )
    inputs = [tensor, builder.constant(pack_words(weight))]
    if isinstance(epilogue, Thresholds):
        thresholds = epilogue.on_popcounts(int(np.prod(weight.shape[1:])))
        inputs += [ABSENT, ABSENT, builder.constant(thresholds)]
        depth, kind = n_words(len(weight)), TensorType.INT32
    else:
        inputs += [builder.constant(epilogue.scale), builder.constant(epilogue.bias), ABSENT]
        depth, kind = len(weight), TensorType.FLOAT32
    shape = (batch, *size, depth)
    return builder.emit("LceBconv2d", inputs, shape, kind=kind, options=options)


def bmaxpool2d(builder: TfliteBuilder, tensor: int, window: Window, padding: Padding) -> int:
    """Emit LceBMaxPool2d: maxima of signs, in windows that SAME clips at the border."""
    batch, height, width, words = builder.shape(tensor)
    size = window.padded(padding, (height, width)).output((height, width))
    shape, kind = (batch, *size, words), TensorType.INT32
    options = LceBMaxPool2dOptions(
        padding=padding,
        stride_width=window.strides[1],
        stride_height=window.strides[0],
        filter_width=window.kernel[1],
        filter_height=window.kernel[0],
    )
    return builder.emit("LceBMaxPool2d", [tensor], shape, kind=kind, options=options)
