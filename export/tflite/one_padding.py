"""Emits binary convolutions of maps with a margin of +1, or without one, as LCE has them."""

from typing import Any

from numpy.typing import NDArray

from bnnkit.export.tflite.epilogue import Epilogue
from bnnkit.export.tflite.layout import as_map, materialized
from bnnkit.export.tflite.lce_operators import bconv2d
from bnnkit.export.tflite.plain import plain_convolution
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.schema import Padding
from bnnkit.tflite.window import NO_PADS, Window


def convolve(
    builder: TfliteBuilder,
    x: TfliteValue,
    weight: NDArray[Any],
    window: Window,
    epilogue: Epilogue,
) -> int:
    """Emit LceBconv2d; the margin becomes its padding SAME if equal, else a PAD before it.

    Args:
        builder: Gets the operators.
        x: Signs.
        weight: (O, KH, KW, I), values in {-1, +1}.
        window: Its pads are ignored; those of +1 are the margin of `x`.
        epilogue: Applied to the sums.
    """
    tensor, (_, height, width) = as_map(builder, x)
    if x.margin != NO_PADS and window.with_pads(x.margin).is_same((height, width)):
        return bconv2d(
            builder, tensor, weight, window, epilogue, padding=Padding.SAME, pad_value=1
        )
    if x.margin == NO_PADS:
        return bconv2d(builder, tensor, weight, window, epilogue)
    reason = f"the pads {x.margin} with stride {window.strides} are not TFLite's SAME"
    with builder.choosing(
        "PAD + LceBconv2d",
        f"{reason}: one copy of the packed map",
        plain=plain_convolution(builder, x, weight, window, epilogue),
    ):
        return bconv2d(builder, materialized(builder, x).tensor, weight, window, epilogue)
