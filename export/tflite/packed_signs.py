"""Signs as bits, for Larq Compute Engine."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic, groups, lce_operators
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.follow import Follow
from bnnkit.export.tflite.values import LCE_WORD_BITS, Value
from bnnkit.tflite.schema import Padding
from bnnkit.tflite.window import Window

_APART: Final = f"signs move singly, not in words of {LCE_WORD_BITS} channels: as float32"


class PackedSigns:
    """int32 (N, H, W, words), 32 signs in a word; a clear bit is +1."""

    channel_unit = LCE_WORD_BITS
    plus = None

    def of_reals(self, draft: Draft, tensor: int, *, may_be_minus_zero: bool = False) -> int:
        """LceQuantize; behind an ADD of 0 where -0.0 can come, which is -1 on ARM."""
        if may_be_minus_zero:
            reason = "-0.0 can come, which LCE takes for -1 on ARM"
            with draft.choosing("ADD of 0 + LceQuantize", reason):
                tensor = arithmetic.add(draft, tensor, np.zeros(1))
        return lce_operators.quantize(draft, tensor)

    def of_truths(self, draft: Draft, tensor: int) -> int:
        """LceQuantize takes them too."""
        return lce_operators.quantize(draft, tensor)

    def to_numbers(self, draft: Draft, tensor: int, channels: int) -> int:
        """LceDequantize."""
        return lce_operators.dequantize(draft, tensor, channels)

    def to_elements(self, draft: Draft, tensor: int, channels: int) -> int:
        """LceDequantize."""
        with draft.choosing("LceDequantize", _APART):
            return lce_operators.dequantize(draft, tensor, channels)

    def of_elements(self, draft: Draft, tensor: int) -> int:
        """LceQuantize."""
        with draft.choosing("LceQuantize", _APART):
            return lce_operators.quantize(draft, tensor)

    def max_pool(self, draft: Draft, tensor: int, window: Window, padding: Padding) -> int:
        """LceBMaxPool2d."""
        return lce_operators.bmaxpool2d(draft, tensor, window, padding)

    def convolve(
        self,
        draft: Draft,
        x: Value,
        weight: NDArray[Any],
        window: Window,
        follow: Follow,
        n_groups: int,
    ) -> int:
        """LceBconv2d, in the forms that LCE's kernels get right."""
        return groups.convolve(draft, x, weight, window, follow, n_groups)
