"""Signs as bytes, for interpreters that have TFLite's builtin operators only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic, byte_convolution
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.follow import Follow
from bnnkit.export.tflite.values import Value
from bnnkit.tflite import options
from bnnkit.tflite.schema import Builtin, Padding, TensorType
from bnnkit.tflite.window import NO_PADS, Window


class ByteSigns:
    """int8 (N, H, W, C) of -1 and +1, with the scale 1 and the zero point 0."""

    channel_unit = 1
    plus = 1.0

    def of_reals(self, draft: Draft, tensor: int, *, may_be_minus_zero: bool = False) -> int:
        """GREATER_EQUAL, for which -0.0 is 0 everywhere."""
        zero = draft.constant(np.zeros(1, np.float32))
        return self.of_truths(draft, arithmetic.at_least(draft, tensor, zero))

    def of_truths(self, draft: Draft, tensor: int) -> int:
        """SELECT_V2."""
        inputs = [tensor, *(draft.constant(np.array([sign], np.int8)) for sign in (1, -1))]
        chosen, shape = options.SELECT_V2, draft.shape(tensor)
        return draft.emit(Builtin.SELECT_V2, inputs, shape, kind=TensorType.INT8, options=chosen)

    def to_numbers(self, draft: Draft, tensor: int, channels: int) -> int:
        """DEQUANTIZE."""
        shape = (*draft.shape(tensor)[:-1], channels)
        return draft.emit(Builtin.DEQUANTIZE, [tensor], shape, options=options.DEQUANTIZE)

    def to_elements(self, draft: Draft, tensor: int, channels: int) -> int:
        """They are."""
        return tensor

    def of_elements(self, draft: Draft, tensor: int) -> int:
        """They are."""
        return tensor

    def max_pool(self, draft: Draft, tensor: int, window: Window, padding: Padding) -> int:
        """MAX_POOL_2D."""
        batch, height, width, channels = draft.shape(tensor)
        pads = window.same_pads((height, width)) if padding is Padding.SAME else NO_PADS
        shape = (batch, *window.with_pads(pads).output((height, width)), channels)
        chosen = options.pool_2d(window, padding)
        return draft.emit(
            Builtin.MAX_POOL_2D, [tensor], shape, kind=TensorType.INT8, options=chosen
        )

    def convolve(
        self,
        draft: Draft,
        x: Value,
        weight: NDArray[Any],
        window: Window,
        follow: Follow,
        n_groups: int,
    ) -> int:
        """CONV_2D or DEPTHWISE_CONV_2D, of int8 to signs and of float32 to sums."""
        return byte_convolution.convolve(draft, x, weight, window, follow, n_groups)
