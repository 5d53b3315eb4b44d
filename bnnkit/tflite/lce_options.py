"""Options of Larq Compute Engine's operators: maps in the format FlexBuffers.

The keys are in the order in which LCE's converter writes them, so the bytes are the same.
"""

from flatbuffers import flexbuffers

from bnnkit.tflite.schema import Padding
from bnnkit.tflite.window import Window


def bconv2d(window: Window, padding: Padding, *, pad_value: int, channels: int) -> bytes:
    """Of LceBconv2d, without an activation.

    Args:
        window: Its pads are not looked at.
        padding: SAME or VALID.
        pad_value: What SAME pads with, 0 or 1.
        channels: Of the input, all groups together.
    """
    return _map(
        channels_in=channels,
        dilation_height_factor=window.dilations[0],
        dilation_width_factor=window.dilations[1],
        fused_activation_function=0,
        pad_values=pad_value,
        padding=int(padding),
        stride_height=window.strides[0],
        stride_width=window.strides[1],
    )


def bmaxpool2d(window: Window, padding: Padding) -> bytes:
    """Of LceBMaxPool2d."""
    return _map(
        padding=int(padding),
        stride_width=window.strides[1],
        stride_height=window.strides[0],
        filter_width=window.kernel[1],
        filter_height=window.kernel[0],
    )


def _map(**options: int) -> bytes:
    builder = flexbuffers.Builder()
    with builder.Map():
        for key, value in options.items():
            builder.Key(key)
            builder.Int(value)
    return bytes(builder.Finish())
