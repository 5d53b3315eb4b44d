"""The numbers of TFLite's file format that more than one part must know.

They are those of tensorflow/lite/schema/schema.fbs, which the rules of FlatBuffers keep for ever.
"""

from enum import IntEnum


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


class Builtin(IntEnum):
    """Operators that every TFLite interpreter has."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEQUANTIZE = 6
    FULLY_CONNECTED = 9
    LOGISTIC = 14
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU_N1_TO_1 = 20
    RELU6 = 21
    RESHAPE = 22
    SOFTMAX = 25
    TANH = 28
    CUSTOM = 32
    PAD = 34
    GATHER = 36
    TRANSPOSE = 39
    MEAN = 40
    SUB = 41
    DIV = 42
    SQUEEZE = 43
    STRIDED_SLICE = 45
    EXP = 47
    SPLIT = 49
    LOG_SOFTMAX = 50
    CAST = 53
    PRELU = 54
    MAXIMUM = 55
    MINIMUM = 57
    LESS = 58
    NEG = 59
    PADV2 = 60
    GREATER = 61
    GREATER_EQUAL = 62
    LESS_EQUAL = 63
    SELECT = 64
    SLICE = 65
    EXPAND_DIMS = 70
    LOG = 73
    SUM = 74
    SQRT = 75
    RSQRT = 76
    SHAPE = 77
    REDUCE_MAX = 82
    PACK = 83
    SQUARE = 92
    LEAKY_RELU = 98
    SQUARED_DIFFERENCE = 99
    ABS = 101
    SPLIT_V = 102
    ELU = 111
    QUANTIZE = 114
    HARD_SWISH = 117
    SELECT_V2 = 123
    RANDOM_UNIFORM = 148


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
