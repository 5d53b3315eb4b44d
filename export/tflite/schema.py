"""The numbers of TFLite's file format that bnnkit writes.

They are those of tensorflow/lite/schema/schema.fbs, which the rules of FlatBuffers keep for ever.
"""

from enum import IntEnum


class TensorType(IntEnum):
    """Element types."""

    FLOAT32 = 0
    INT32 = 2
    UINT8 = 3


class Builtin(IntEnum):
    """Operators that every TFLite interpreter has."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    FULLY_CONNECTED = 9
    LOGISTIC = 14
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU6 = 21
    RESHAPE = 22
    SOFTMAX = 25
    TANH = 28
    CUSTOM = 32
    PAD = 34
    TRANSPOSE = 39
    MEAN = 40
    SUB = 41
    DIV = 42
    STRIDED_SLICE = 45
    EXP = 47
    LOG_SOFTMAX = 50
    CAST = 53
    PRELU = 54
    MAXIMUM = 55
    MINIMUM = 57
    NEG = 59
    PADV2 = 60
    LOG = 73
    SUM = 74
    SQRT = 75
    REDUCE_MAX = 82
    LEAKY_RELU = 98
    ABS = 101
    ELU = 111
    HARD_SWISH = 117


class Padding(IntEnum):
    """How a window meets the border of a map.

    SAME gives ceil(size / stride) outputs; of an odd number of padding pixels the greater half
    lies at the bottom and at the right. VALID pads nothing.
    """

    SAME = 0
    VALID = 1
