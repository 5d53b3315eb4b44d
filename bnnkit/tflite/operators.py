"""The operators that bnnkit reads or writes, and the options of each.

This table and the declarations of options.py and lce_options.py are all that the reader and the
writer know about operators.
"""

from dataclasses import dataclass
from typing import Final

from bnnkit.tflite import lce_options, options
from bnnkit.tflite.fields import Options
from bnnkit.tflite.schema import Builtin


@dataclass(frozen=True)
class OptionsTable:
    """Where the options of a builtin operator are.

    Attributes:
        number: Number of their table in the union BuiltinOptions; 0 if the operator has none.
        kind: Their fields; None if the table has none.
    """

    number: int = 0
    kind: type[Options] | None = None


@dataclass(frozen=True, kw_only=True)
class UnknownOptions(Options):
    """Options of a builtin operator that is not in the table; they cannot be written.

    Attributes:
        number: Number of their table in the union BuiltinOptions.
    """

    number: int


_NO_OPTIONS = OptionsTable()
_POOL_2D = OptionsTable(5, options.Pool2DOptions)
_REDUCER = OptionsTable(27, options.ReducerOptions)
_MAXIMUM_MINIMUM = OptionsTable(39)

BUILTINS: Final[dict[Builtin, OptionsTable]] = {
    Builtin.ADD: OptionsTable(11, options.AddOptions),
    Builtin.AVERAGE_POOL_2D: _POOL_2D,
    Builtin.CONCATENATION: OptionsTable(10, options.ConcatenationOptions),
    Builtin.CONV_2D: OptionsTable(1, options.Conv2DOptions),
    Builtin.DEPTHWISE_CONV_2D: OptionsTable(2, options.DepthwiseConv2DOptions),
    Builtin.DEPTH_TO_SPACE: OptionsTable(94, options.BlockOptions),
    Builtin.DEQUANTIZE: OptionsTable(38),
    Builtin.FLOOR: _NO_OPTIONS,
    Builtin.FULLY_CONNECTED: OptionsTable(8, options.FullyConnectedOptions),
    Builtin.L2_NORMALIZATION: OptionsTable(12, options.ActivationOptions),
    Builtin.LOGISTIC: _NO_OPTIONS,
    Builtin.MAX_POOL_2D: _POOL_2D,
    Builtin.MUL: OptionsTable(21, options.ActivationOptions),
    Builtin.RELU: _NO_OPTIONS,
    Builtin.RELU_N1_TO_1: _NO_OPTIONS,
    Builtin.RELU6: _NO_OPTIONS,
    Builtin.RESHAPE: OptionsTable(17, options.ReshapeOptions),
    Builtin.RESIZE_BILINEAR: OptionsTable(15, options.ResizeBilinearOptions),
    Builtin.SOFTMAX: OptionsTable(9, options.SoftmaxOptions),
    Builtin.SPACE_TO_DEPTH: OptionsTable(19, options.BlockOptions),
    Builtin.TANH: _NO_OPTIONS,
    Builtin.PAD: OptionsTable(22),
    Builtin.GATHER: OptionsTable(23, options.GatherOptions),
    Builtin.TRANSPOSE: OptionsTable(26),
    Builtin.MEAN: _REDUCER,
    Builtin.SUB: OptionsTable(28, options.AddOptions),
    Builtin.DIV: OptionsTable(29, options.ActivationOptions),
    Builtin.SQUEEZE: OptionsTable(30, options.SqueezeOptions),
    Builtin.STRIDED_SLICE: OptionsTable(32, options.StridedSliceOptions),
    Builtin.EXP: OptionsTable(33),
    Builtin.SPLIT: OptionsTable(35, options.SplitOptions),
    Builtin.LOG_SOFTMAX: OptionsTable(36),
    Builtin.CAST: OptionsTable(37, options.CastOptions),
    Builtin.PRELU: _NO_OPTIONS,
    Builtin.MAXIMUM: _MAXIMUM_MINIMUM,
    Builtin.ARG_MAX: OptionsTable(40, options.ArgMaxOptions),
    Builtin.MINIMUM: _MAXIMUM_MINIMUM,
    Builtin.LESS: OptionsTable(41),
    Builtin.NEG: OptionsTable(42),
    Builtin.PADV2: OptionsTable(43),
    Builtin.GREATER: OptionsTable(44),
    Builtin.GREATER_EQUAL: OptionsTable(45),
    Builtin.LESS_EQUAL: OptionsTable(46),
    Builtin.SELECT: OptionsTable(47),
    Builtin.SLICE: OptionsTable(48),
    Builtin.SIN: _NO_OPTIONS,
    Builtin.TRANSPOSE_CONV: OptionsTable(49, options.TransposeConvOptions),
    Builtin.TILE: OptionsTable(51),
    Builtin.EXPAND_DIMS: OptionsTable(52),
    Builtin.EQUAL: OptionsTable(53),
    Builtin.NOT_EQUAL: OptionsTable(54),
    Builtin.LOG: _NO_OPTIONS,
    Builtin.SUM: _REDUCER,
    Builtin.SQRT: _NO_OPTIONS,
    Builtin.RSQRT: _NO_OPTIONS,
    Builtin.SHAPE: OptionsTable(55, options.ShapeOptions),
    Builtin.POW: OptionsTable(56),
    Builtin.ARG_MIN: OptionsTable(57, options.ArgMaxOptions),
    Builtin.REDUCE_PROD: _REDUCER,
    Builtin.REDUCE_MAX: _REDUCER,
    Builtin.PACK: OptionsTable(59, options.PackOptions),
    Builtin.LOGICAL_OR: OptionsTable(60),
    Builtin.LOGICAL_AND: OptionsTable(62),
    Builtin.LOGICAL_NOT: OptionsTable(63),
    Builtin.UNPACK: OptionsTable(64, options.UnpackOptions),
    Builtin.REDUCE_MIN: _REDUCER,
    Builtin.SQUARE: OptionsTable(66),
    Builtin.FILL: OptionsTable(68),
    Builtin.RESIZE_NEAREST_NEIGHBOR: OptionsTable(74, options.ResizeNearestNeighborOptions),
    Builtin.LEAKY_RELU: OptionsTable(75, options.LeakyReluOptions),
    Builtin.SQUARED_DIFFERENCE: OptionsTable(76),
    Builtin.MIRROR_PAD: OptionsTable(77, options.MirrorPadOptions),
    Builtin.ABS: OptionsTable(78),
    Builtin.SPLIT_V: OptionsTable(79, options.SplitOptions),
    Builtin.CEIL: _NO_OPTIONS,
    Builtin.REVERSE_V2: OptionsTable(81),
    Builtin.ADD_N: OptionsTable(82),
    Builtin.COS: OptionsTable(84),
    Builtin.ELU: _NO_OPTIONS,
    Builtin.QUANTIZE: OptionsTable(89),
    Builtin.ROUND: _NO_OPTIONS,
    Builtin.HARD_SWISH: OptionsTable(91),
    Builtin.SELECT_V2: OptionsTable(98),
    Builtin.BROADCAST_TO: OptionsTable(104),
    Builtin.RANDOM_UNIFORM: OptionsTable(114, options.RandomOptions),
    Builtin.GELU: OptionsTable(116, options.GeluOptions),
    Builtin.SIGN: OptionsTable(123),
}
"""The builtin operators, in the order of their codes."""

CUSTOM: Final[dict[str, type[lce_options.LceOptions] | None]] = {
    "LceQuantize": None,
    "LceDequantize": None,
    "LceBMaxPool2d": lce_options.LceBMaxPool2dOptions,
    "LceBconv2d": lce_options.LceBconv2dOptions,
}
"""The operators of Larq Compute Engine; None for those without options."""


def options_kind(code: Builtin | str) -> type[Options] | None:
    """The options that an operator has; None if it has none, or is not in the tables."""
    if isinstance(code, str):
        return CUSTOM.get(code)
    return BUILTINS.get(code, _NO_OPTIONS).kind


def default_options(code: Builtin | str) -> Options | None:
    """The options of a builtin operator with their defaults; None if it has none."""
    kind = options_kind(code)
    return None if kind is None or isinstance(code, str) else kind()
