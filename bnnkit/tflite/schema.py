"""The numbers of TFLite's file format that more than one part must know.

They are those of tensorflow/lite/schema/schema.fbs, which the rules of FlatBuffers keep for ever.
"""

from enum import IntEnum

from bnnkit.tflite.builtins import Builtin

__all__ = ["IDENTIFIER", "Activation", "Builtin", "Padding", "TensorType"]

IDENTIFIER = b"TFL3"
"""Of a file, behind its first four bytes."""


class TensorType(IntEnum):
    """Element types."""

    FLOAT32 = 0
    FLOAT16 = 1
    INT32 = 2
    UINT8 = 3
    INT64 = 4
    BOOL = 6
    INT16 = 7
    INT8 = 9


class Padding(IntEnum):
    """How a window meets the border of a map.

    SAME gives ceil(size / stride) outputs; of an odd number of padding pixels the greater half
    lies at the bottom and at the right. VALID pads nothing.
    """

    SAME = 0
    VALID = 1


class Activation(IntEnum):
    """What an operator does to its result at once."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3
    TANH = 4
