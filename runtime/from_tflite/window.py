"""The window of a layer in a file: checked, with its pads, and with what it may take."""

from math import prod
from typing import Any

from bnnkit.artifact.budget import Budget
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.values import Shape
from bnnkit.tflite.schema import Padding
from bnnkit.tflite.window import Pair, Window

POOLED = 8
"""How many products take as long as one number in the window of a pooling."""
_MOST = 1 << 15
"""Largest size, stride or dilation."""


def window_on(
    size: Pair, *, kernel: Pair, strides: Pair, dilations: Pair = (1, 1), padding: Padding
) -> Window:
    """The window of a layer on a map.

    Args:
        size: Height and width of the map.
        kernel: Height and width of the window.
        strides: Vertical and horizontal.
        dilations: Vertical and horizontal.
        padding: Gives the pads.

    Raises:
        ArtifactError: A size, stride or dilation is out of range.
        UnsupportedError: The window is larger than the map.
    """
    for number in (*kernel, *strides, *dilations):
        if not 0 < number <= _MOST:
            raise ArtifactError(
                f"expected sizes, strides and dilations of 1 to {_MOST}, got {number}"
            )
    window = Window(kernel=kernel, strides=strides, dilations=dilations).padded(padding, size)
    if min(window.output(size)) < 1:
        raise UnsupportedError(f"the window {kernel} is larger than the map {size}")
    return window


def spend(budget: Budget, window: Window, shape: Shape, products: int) -> None:
    """Count what a layer takes.

    Args:
        budget: Is charged.
        window: Of the layer.
        shape: Of the input, (N, H, W, C).
        products: For each pixel of the output.

    Raises:
        UnsupportedError: The products or the padded map exceed the budget.
    """
    _, height, width, channels = shape
    top, left, bottom, right = window.pads
    budget.spend_values((height + top + bottom) * (width + left + right) * channels)
    budget.spend_work(prod(window.output((height, width))) * products)


def attributes(window: Window) -> dict[str, Any]:
    """Attributes of ONNX's pooling; a convolution has dilations too."""
    return {
        "kernel_shape": list(window.kernel),
        "strides": list(window.strides),
        "pads": list(window.pads),
    }
