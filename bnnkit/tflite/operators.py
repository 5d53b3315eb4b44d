"""The operators that bnnkit reads or writes, with the options and facts of each.

This table and the declarations of options.py and lce_options.py are all that the reader and the
writer know about operators.
"""

from dataclasses import dataclass
from typing import Final

from bnnkit.tflite import lce_options, options
from bnnkit.tflite.fields import Options
from bnnkit.tflite.schema import Builtin


@dataclass(frozen=True)
class BuiltinOperator:
    """A builtin operator.

    Attributes:
        number: Number of the table of its options in the union BuiltinOptions; 0 if it has none.
        kind: The fields of its options; None if the table has none.
        moves_signs: It gives packed signs if one of its inputs is packed signs.
    """

    number: int = 0
    kind: type[Options] | None = None
    moves_signs: bool = False


@dataclass(frozen=True)
class CustomOperator:
    """An operator of Larq Compute Engine.

    Attributes:
        kind: Its options; None if it has none.
        gives_signs: It makes packed signs.
    """

    kind: type[lce_options.LceOptions] | None = None
    gives_signs: bool = False


@dataclass(frozen=True, kw_only=True)
class UnknownOptions(Options):
    """Options of a builtin operator that is not in the table; they cannot be written.

    Attributes:
        number: Number of their table in the union BuiltinOptions.
    """

    number: int


_NO_OPTIONS = BuiltinOperator()
_POOL_2D = BuiltinOperator(5, options.Pool2DOptions)
_REDUCER = BuiltinOperator(27, options.ReducerOptions)
_MAXIMUM_MINIMUM = BuiltinOperator(39)

BUILTINS: Final[dict[Builtin, BuiltinOperator]] = {
    Builtin.ADD: BuiltinOperator(11, options.AddOptions),
    Builtin.AVERAGE_POOL_2D: _POOL_2D,
    Builtin.CONCATENATION: BuiltinOperator(10, options.ConcatenationOptions, moves_signs=True),
    Builtin.CONV_2D: BuiltinOperator(1, options.Conv2DOptions),
    Builtin.DEPTHWISE_CONV_2D: BuiltinOperator(2, options.DepthwiseConv2DOptions),
    Builtin.DEPTH_TO_SPACE: BuiltinOperator(94, options.BlockOptions),
    Builtin.DEQUANTIZE: BuiltinOperator(38),
    Builtin.FLOOR: _NO_OPTIONS,
    Builtin.FULLY_CONNECTED: BuiltinOperator(8, options.FullyConnectedOptions),
    Builtin.L2_NORMALIZATION: BuiltinOperator(12, options.ActivationOptions),
    Builtin.LOGISTIC: _NO_OPTIONS,
    Builtin.MAX_POOL_2D: _POOL_2D,
    Builtin.MUL: BuiltinOperator(21, options.ActivationOptions),
    Builtin.RELU: _NO_OPTIONS,
    Builtin.RELU_N1_TO_1: _NO_OPTIONS,
    Builtin.RELU6: _NO_OPTIONS,
    Builtin.RESHAPE: BuiltinOperator(17, options.ReshapeOptions, moves_signs=True),
    Builtin.RESIZE_BILINEAR: BuiltinOperator(15, options.ResizeBilinearOptions),
    Builtin.SOFTMAX: BuiltinOperator(9, options.SoftmaxOptions),
    Builtin.SPACE_TO_DEPTH: BuiltinOperator(19, options.BlockOptions),
    Builtin.TANH: _NO_OPTIONS,
    Builtin.PAD: BuiltinOperator(22, moves_signs=True),
    Builtin.GATHER: BuiltinOperator(23, options.GatherOptions, moves_signs=True),
    Builtin.TRANSPOSE: BuiltinOperator(26, moves_signs=True),
    Builtin.MEAN: _REDUCER,
    Builtin.SUB: BuiltinOperator(28, options.AddOptions),
    Builtin.DIV: BuiltinOperator(29, options.ActivationOptions),
    Builtin.SQUEEZE: BuiltinOperator(30, options.SqueezeOptions, moves_signs=True),
    Builtin.STRIDED_SLICE: BuiltinOperator(32, options.StridedSliceOptions, moves_signs=True),
    Builtin.EXP: BuiltinOperator(33),
    Builtin.SPLIT: BuiltinOperator(35, options.SplitOptions, moves_signs=True),
    Builtin.LOG_SOFTMAX: BuiltinOperator(36),
    Builtin.CAST: BuiltinOperator(37, options.CastOptions),
    Builtin.PRELU: _NO_OPTIONS,
    Builtin.MAXIMUM: _MAXIMUM_MINIMUM,
    Builtin.ARG_MAX: BuiltinOperator(40, options.ArgMaxOptions),
    Builtin.MINIMUM: _MAXIMUM_MINIMUM,
    Builtin.LESS: BuiltinOperator(41),
    Builtin.NEG: BuiltinOperator(42),
    Builtin.PADV2: BuiltinOperator(43, moves_signs=True),
    Builtin.GREATER: BuiltinOperator(44),
    Builtin.GREATER_EQUAL: BuiltinOperator(45),
    Builtin.LESS_EQUAL: BuiltinOperator(46),
    Builtin.SELECT: BuiltinOperator(47),
    Builtin.SLICE: BuiltinOperator(48, moves_signs=True),
    Builtin.SIN: _NO_OPTIONS,
    Builtin.TRANSPOSE_CONV: BuiltinOperator(49, options.TransposeConvOptions),
    Builtin.TILE: BuiltinOperator(51),
    Builtin.EXPAND_DIMS: BuiltinOperator(52, moves_signs=True),
    Builtin.EQUAL: BuiltinOperator(53),
    Builtin.NOT_EQUAL: BuiltinOperator(54),
    Builtin.LOG: _NO_OPTIONS,
    Builtin.SUM: _REDUCER,
    Builtin.SQRT: _NO_OPTIONS,
    Builtin.RSQRT: _NO_OPTIONS,
    Builtin.SHAPE: BuiltinOperator(55, options.ShapeOptions),
    Builtin.POW: BuiltinOperator(56),
    Builtin.ARG_MIN: BuiltinOperator(57, options.ArgMaxOptions),
    Builtin.REDUCE_PROD: _REDUCER,
    Builtin.REDUCE_MAX: _REDUCER,
    Builtin.PACK: BuiltinOperator(59, options.PackOptions),
    Builtin.LOGICAL_OR: BuiltinOperator(60),
    Builtin.LOGICAL_AND: BuiltinOperator(62),
    Builtin.LOGICAL_NOT: BuiltinOperator(63),
    Builtin.UNPACK: BuiltinOperator(64, options.UnpackOptions),
    Builtin.REDUCE_MIN: _REDUCER,
    Builtin.SQUARE: BuiltinOperator(66),
    Builtin.FILL: BuiltinOperator(68),
    Builtin.RESIZE_NEAREST_NEIGHBOR: BuiltinOperator(74, options.ResizeNearestNeighborOptions),
    Builtin.LEAKY_RELU: BuiltinOperator(75, options.LeakyReluOptions),
    Builtin.SQUARED_DIFFERENCE: BuiltinOperator(76),
    Builtin.MIRROR_PAD: BuiltinOperator(77, options.MirrorPadOptions),
    Builtin.ABS: BuiltinOperator(78),
    Builtin.SPLIT_V: BuiltinOperator(79, options.SplitOptions, moves_signs=True),
    Builtin.CEIL: _NO_OPTIONS,
    Builtin.REVERSE_V2: BuiltinOperator(81),
    Builtin.ADD_N: BuiltinOperator(82),
    Builtin.COS: BuiltinOperator(84),
    Builtin.ELU: _NO_OPTIONS,
    Builtin.QUANTIZE: BuiltinOperator(89),
    Builtin.ROUND: _NO_OPTIONS,
    Builtin.HARD_SWISH: BuiltinOperator(91),
    Builtin.SELECT_V2: BuiltinOperator(98),
    Builtin.BROADCAST_TO: BuiltinOperator(104),
    Builtin.BATCH_MATMUL: BuiltinOperator(101, options.BatchMatMulOptions),
    Builtin.RANDOM_UNIFORM: BuiltinOperator(114, options.RandomOptions),
    Builtin.GELU: BuiltinOperator(116, options.GeluOptions),
    Builtin.SIGN: BuiltinOperator(123),
}
"""The builtin operators, in the order of their codes."""

CUSTOM: Final[dict[str, CustomOperator]] = {
    "LceQuantize": CustomOperator(gives_signs=True),
    "LceDequantize": CustomOperator(),
    "LceBMaxPool2d": CustomOperator(lce_options.LceBMaxPool2dOptions, gives_signs=True),
    "LceBconv2d": CustomOperator(lce_options.LceBconv2dOptions, gives_signs=True),
}
"""The operators of Larq Compute Engine, by name."""


def options_kind(code: Builtin | str) -> type[Options] | None:
    """The options that an operator has; None if it has none, or is not in the tables."""
    if isinstance(code, str):
        return CUSTOM.get(code, CustomOperator()).kind
    return BUILTINS.get(code, _NO_OPTIONS).kind


def default_options(code: Builtin | str) -> Options | None:
    """The options of a builtin operator with their defaults; None if it has none."""
    kind = options_kind(code)
    return None if kind is None or isinstance(code, str) else kind()


def gives_signs(code: Builtin | str) -> bool:
    """Whether an operator makes packed signs."""
    return isinstance(code, str) and CUSTOM.get(code, CustomOperator()).gives_signs


def moves_signs(code: Builtin | str) -> bool:
    """Whether an operator gives packed signs if one of its inputs is packed signs."""
    return not isinstance(code, str) and BUILTINS.get(code, _NO_OPTIONS).moves_signs
