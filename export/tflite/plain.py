"""The cost of a layer in its usual form, with which the report compares other forms."""

from typing import Any

from numpy.typing import NDArray

from bnnkit.export.tflite.epilogue import Epilogue, Thresholds
from bnnkit.export.tflite.report import Cost
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue, n_words
from bnnkit.tflite.schema import TensorType
from bnnkit.tflite.window import Pair, Window


def plain_layer(builder: TfliteBuilder, outputs: int, size: Pair, *, to_signs: bool) -> Cost:
    """The cost of one operator of LCE, to packed signs or to float32, with that many channels."""
    depth = n_words(outputs) if to_signs else outputs
    kind = TensorType.INT32 if to_signs else TensorType.FLOAT32
    return Cost(1, builder.bytes_of((builder.batch, *size, depth), kind))


def plain_convolution(
    builder: TfliteBuilder,
    x: TfliteValue,
    weight: NDArray[Any],
    window: Window,
    epilogue: Epilogue,
) -> Cost:
    """The cost of one LceBconv2d with the weight (O, KH, KW, I)."""
    _, height, width = x.map or (0, 1, 1)
    top, left, bottom, right = x.margin
    size = window.output((height + top + bottom, width + left + right))
    return plain_layer(builder, len(weight), size, to_signs=isinstance(epilogue, Thresholds))
