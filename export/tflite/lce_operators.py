"""Larq Compute Engine's operators.

References:
    https://docs.larq.dev/compute-engine/operators/ and the sources of version 0.16.0.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.bits import pack_signs
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.follow import Follow, Thresholds
from bnnkit.export.tflite.values import n_words
from bnnkit.tflite import lce_options
from bnnkit.tflite.schema import Padding, TensorType
from bnnkit.tflite.window import Window
from bnnkit.tflite.written import ABSENT


def pack_words(signs: NDArray[Any]) -> NDArray[np.int32]:
    """Signs packed as in bits.py, but in words of 32 bits: int32, (..., ceil(C / 32))."""
    words = pack_signs(signs).astype("<u8", copy=False).view("<i4")
    return words[..., : n_words(signs.shape[-1])].astype(np.int32)


def quantize(draft: Draft, tensor: int) -> int:
    """Signs of numbers, +1 where x >= 0: LceQuantize."""
    *outer, channels = draft.shape(tensor)
    shape = (*outer, n_words(channels))
    return draft.emit("LceQuantize", [tensor], shape, kind=TensorType.INT32)


def dequantize(draft: Draft, tensor: int, channels: int) -> int:
    """Signs as -1.0 and +1.0: LceDequantize."""
    return draft.emit("LceDequantize", [tensor], (*draft.shape(tensor)[:-1], channels))


def bconv2d(
    draft: Draft,
    tensor: int,
    weight: NDArray[np.int8],
    window: Window,
    follow: Follow,
    *,
    padding: Padding = Padding.VALID,
    pad_value: int = 0,
) -> int:
    """LceBconv2d of one group.

    Args:
        draft: Gets the operator.
        tensor: Signs, (N, H, W, words).
        weight: (O, KH, KW, I), values in {-1, +1}.
        window: Its pads are not looked at.
        follow: Thresholds give signs, a scale float32.
        padding: SAME or VALID.
        pad_value: What SAME pads with.
    """
    batch, height, width, _ = draft.shape(tensor)
    channels = weight.shape[-1]
    pads = window.same_pads((height, width)) if padding is Padding.SAME else (0, 0, 0, 0)
    size = window.with_pads(pads).output((height, width))
    options = lce_options.bconv2d(window, padding, pad_value=pad_value, channels=channels)
    inputs = [tensor, draft.constant(pack_words(weight))]
    if isinstance(follow, Thresholds):
        thresholds = follow.on_popcounts(int(np.prod(weight.shape[1:])))
        inputs += [ABSENT, ABSENT, draft.constant(thresholds)]
        depth, kind = n_words(len(weight)), TensorType.INT32
    else:
        inputs += [draft.constant(follow.scale), draft.constant(follow.bias), ABSENT]
        depth, kind = len(weight), TensorType.FLOAT32
    shape = (batch, *size, depth)
    return draft.emit("LceBconv2d", inputs, shape, kind=kind, custom_options=options)


def bmaxpool2d(draft: Draft, tensor: int, window: Window, padding: Padding) -> int:
    """LceBMaxPool2d: the sign of the maximum of a window, which SAME clips at the border."""
    batch, height, width, words = draft.shape(tensor)
    pads = window.same_pads((height, width)) if padding is Padding.SAME else (0, 0, 0, 0)
    size = window.with_pads(pads).output((height, width))
    options = lce_options.bmaxpool2d(window, padding)
    return draft.emit(
        "LceBMaxPool2d",
        [tensor],
        (batch, *size, words),
        kind=TensorType.INT32,
        custom_options=options,
    )
