"""The window of a convolution or a pooling in TFLite."""

from dataclasses import dataclass
from math import prod
from typing import Any

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.budget import Budget
from bnnkit.runtime.from_tflite.values import Shape
from bnnkit.tflite.schema import Padding

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
"""Top, left, bottom, right."""

POOLED = 8
"""How many products take as long as one number in the window of a pooling."""
_MOST = 1 << 15
"""Of sizes, strides and dilations."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Where the outputs of a layer look.

    Attributes:
        kernel: Height and width.
        strides: Vertical and horizontal.
        dilations: Vertical and horizontal.
        padding: SAME or VALID.
    """

    kernel: Pair
    strides: Pair
    dilations: Pair = (1, 1)
    padding: Padding

    def __post_init__(self) -> None:
        for number in (*self.kernel, *self.strides, *self.dilations):
            if not 0 < number <= _MOST:
                raise ArtifactError(
                    f"expected sizes, strides and dilations of 1 to {_MOST}, got {number}"
                )

    def pads(self, size: Pair) -> Pads:
        """How a map of that size is padded; of an odd number, the greater half is at the end."""
        if self.padding is Padding.VALID:
            return 0, 0, 0, 0
        totals = [
            max((out - 1) * stride + extent - n, 0)
            for n, out, stride, extent in zip(
                size, self.output(size), self.strides, self._extent, strict=True
            )
        ]
        top, left = (total // 2 for total in totals)
        return top, left, totals[0] - top, totals[1] - left

    def output(self, size: Pair) -> Pair:
        """The map that comes of one of that size.

        Raises:
            UnsupportedError: None does.
        """
        if self.padding is Padding.SAME:
            sizes = [-(-n // stride) for n, stride in zip(size, self.strides, strict=True)]
        else:
            sizes = [
                (n - extent) // stride + 1
                for n, extent, stride in zip(size, self._extent, self.strides, strict=True)
            ]
        if min(sizes) < 1:
            raise UnsupportedError(f"the window {self.kernel} is larger than the map {size}")
        return sizes[0], sizes[1]

    def spend(self, budget: Budget, shape: Shape, products: int) -> None:
        """Count what a layer with this window takes.

        Args:
            budget: Pays.
            shape: Of its input, (N, H, W, C).
            products: For each pixel of the output.

        Raises:
            UnsupportedError: It is too much; the padded map counts too.
        """
        _, height, width, channels = shape
        top, left, bottom, right = self.pads((height, width))
        budget.spend_values((height + top + bottom) * (width + left + right) * channels)
        budget.spend_work(prod(self.output((height, width))) * products)

    @property
    def _extent(self) -> Pair:
        """Pixels from the first to the last that an output looks at."""
        height, width = (d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))
        return height, width

    def attributes(self, size: Pair) -> dict[str, Any]:
        """Of ONNX's pooling, on a map of that size; a convolution has dilations too."""
        return {
            "kernel_shape": list(self.kernel),
            "strides": list(self.strides),
            "pads": list(self.pads(size)),
        }


def padding_of(number: int) -> Padding:
    """The padding that an option names.

    Raises:
        UnsupportedError: There is no such.
    """
    try:
        return Padding(number)
    except ValueError as error:
        raise UnsupportedError(f"unknown padding {number}") from error
