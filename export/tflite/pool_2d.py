"""Emits pooling by builtin operators."""

from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.tflite.options import Pool2DOptions
from bnnkit.tflite.schema import Builtin, Padding
from bnnkit.tflite.window import Window


def pool_2d(
    builder: TfliteBuilder, code: Builtin, tensor: int, window: Window, padding: Padding
) -> int:
    """Emit MAX_POOL_2D or AVERAGE_POOL_2D.

    Args:
        builder: Gets the operator.
        code: Which of the two.
        tensor: (N, H, W, C); the result is of the same type.
        window: Its pads are ignored.
        padding: SAME or VALID.
    """
    batch, height, width, channels = builder.shape(tensor)
    shape = (batch, *window.padded(padding, (height, width)).output((height, width)), channels)
    options = Pool2DOptions(
        padding=padding,
        stride_w=window.strides[1],
        stride_h=window.strides[0],
        filter_width=window.kernel[1],
        filter_height=window.kernel[0],
    )
    return builder.emit(code, [tensor], shape, kind=builder.type(tensor), options=options)
