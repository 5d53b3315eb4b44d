"""Signs as bytes, for interpreters that only have TFLite's builtin operators."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic, byte_convolution
from bnnkit.export.tflite.epilogue import Epilogue
from bnnkit.export.tflite.pool_2d import pool_2d
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.schema import Builtin, Padding, TensorType
from bnnkit.tflite.window import Window


class ByteSigns:
    """int8 (N, H, W, C) of -1 and +1, with the scale 1 and the zero point 0."""

    channel_unit = 1
    plus = 1.0

    def of_reals(
        self, builder: TfliteBuilder, tensor: int, *, may_be_minus_zero: bool = False
    ) -> int:
        """GREATER_EQUAL, which takes -0.0 for 0 in every interpreter."""
        zero = builder.constant(np.zeros(1, np.float32))
        return self.of_bools(builder, arithmetic.greater_equal(builder, tensor, zero))

    def of_bools(self, builder: TfliteBuilder, tensor: int) -> int:
        """SELECT_V2."""
        inputs = [tensor, *(builder.constant(np.array([sign], np.int8)) for sign in (1, -1))]
        return builder.emit(Builtin.SELECT_V2, inputs, builder.shape(tensor), kind=TensorType.INT8)

    def to_numbers(self, builder: TfliteBuilder, tensor: int, channels: int) -> int:
        """DEQUANTIZE."""
        shape = (*builder.shape(tensor)[:-1], channels)
        return builder.emit(Builtin.DEQUANTIZE, [tensor], shape)

    def to_elements(self, builder: TfliteBuilder, tensor: int, channels: int) -> int:
        """Returns the tensor unchanged: each sign already is an element."""
        return tensor

    def of_elements(self, builder: TfliteBuilder, tensor: int) -> int:
        """Returns the tensor unchanged."""
        return tensor

    def max_pool(
        self, builder: TfliteBuilder, tensor: int, window: Window, padding: Padding
    ) -> int:
        """MAX_POOL_2D."""
        return pool_2d(builder, Builtin.MAX_POOL_2D, tensor, window, padding)

    def convolve(
        self,
        builder: TfliteBuilder,
        x: TfliteValue,
        weight: NDArray[Any],
        window: Window,
        epilogue: Epilogue,
        n_groups: int,
    ) -> int:
        """CONV_2D or DEPTHWISE_CONV_2D, of int8 if the result is signs, else of float32."""
        return byte_convolution.convolve(builder, x, weight, window, epilogue, n_groups)
