"""Signs as bits, for Larq Compute Engine."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic, groups, lce_operators
from bnnkit.export.tflite.epilogue import Epilogue
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import LCE_WORD_BITS, TfliteValue
from bnnkit.tflite.schema import Padding
from bnnkit.tflite.window import Window

_APART: Final = f"signs move one by one, not in words of {LCE_WORD_BITS} channels: as float32"


class PackedSigns:
    """int32 (N, H, W, words), 32 signs in a word; a clear bit is +1."""

    channel_unit = LCE_WORD_BITS
    plus = None

    def of_reals(
        self, builder: TfliteBuilder, tensor: int, *, may_be_minus_zero: bool = False
    ) -> int:
        """LceQuantize; after an ADD of 0 if -0.0 may occur, which LCE takes for -1 on ARM."""
        if may_be_minus_zero:
            reason = "-0.0 may occur, which LCE takes for -1 on ARM"
            with builder.choosing("ADD of 0 + LceQuantize", reason):
                tensor = arithmetic.add(builder, tensor, np.zeros(1))
        return lce_operators.quantize(builder, tensor)

    def of_bools(self, builder: TfliteBuilder, tensor: int) -> int:
        """LceQuantize, which also takes bools."""
        return lce_operators.quantize(builder, tensor)

    def to_numbers(self, builder: TfliteBuilder, tensor: int, channels: int) -> int:
        """LceDequantize."""
        return lce_operators.dequantize(builder, tensor, channels)

    def to_elements(self, builder: TfliteBuilder, tensor: int, channels: int) -> int:
        """LceDequantize."""
        with builder.choosing("LceDequantize", _APART):
            return lce_operators.dequantize(builder, tensor, channels)

    def of_elements(self, builder: TfliteBuilder, tensor: int) -> int:
        """LceQuantize."""
        with builder.choosing("LceQuantize", _APART):
            return lce_operators.quantize(builder, tensor)

    def max_pool(
        self, builder: TfliteBuilder, tensor: int, window: Window, padding: Padding
    ) -> int:
        """LceBMaxPool2d."""
        return lce_operators.bmaxpool2d(builder, tensor, window, padding)

    def convolve(
        self,
        builder: TfliteBuilder,
        x: TfliteValue,
        weight: NDArray[Any],
        window: Window,
        epilogue: Epilogue,
        n_groups: int,
    ) -> int:
        """LceBconv2d, in forms for which all of LCE's kernels are right."""
        return groups.convolve(builder, x, weight, window, epilogue, n_groups)
