"""Options of builtin operators: which table of the schema, and what is in its slots."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bnnkit.tflite.schema import Activation, Padding, TensorType
from bnnkit.tflite.window import Window

Scalar = Literal["Int8", "Int32", "Int64", "Bool", "Float32"]
Field = tuple[int, Scalar, int | float]
"""Slot, type, value."""


@dataclass(frozen=True)
class Options:
    """One table of the union BuiltinOptions.

    Attributes:
        table: Its number in the union.
        fields: What differs from the defaults, or matters.
    """

    table: int
    fields: tuple[Field, ...] = ()


ADD = Options(11)
MUL = Options(21)
SUB = Options(28)
DIV = Options(29)
PAD = Options(22)
PADV2 = Options(43)
TRANSPOSE = Options(26)
RESHAPE = Options(17)
EXP = Options(33)
LOG_SOFTMAX = Options(36)
MAXIMUM_MINIMUM = Options(39)
NEG = Options(42)
ABS = Options(78)
HARD_SWISH = Options(91)
SOFTMAX = Options(9, ((0, "Float32", 1.0),))
FULLY_CONNECTED = Options(8)
STRIDED_SLICE = Options(32)
DEQUANTIZE = Options(38)
GREATER = Options(44)
GREATER_EQUAL = Options(45)
LESS = Options(41)
LESS_EQUAL = Options(46)
POW = Options(56)
SELECT_V2 = Options(98)
KEEPS_AXES = Options(27, ((0, "Bool", True),))
"""Of MEAN, SUM and REDUCE_MAX."""


def conv_2d(window: Window, padding: Padding, activation: Activation = Activation.NONE) -> Options:
    """Of CONV_2D."""
    of_its_own: tuple[Field, ...] = ((3, "Int8", activation),)
    return Options(1, _placed(window, padding) + of_its_own + _dilated(window, first_slot=4))


def depthwise_conv_2d(
    window: Window,
    padding: Padding,
    multiplier: int,
    activation: Activation = Activation.NONE,
) -> Options:
    """Of DEPTHWISE_CONV_2D; `multiplier` outputs for each input."""
    of_its_own: tuple[Field, ...] = ((3, "Int32", multiplier), (4, "Int8", activation))
    return Options(2, _placed(window, padding) + of_its_own + _dilated(window, first_slot=5))


def pool_2d(window: Window, padding: Padding) -> Options:
    """Of MAX_POOL_2D and AVERAGE_POOL_2D."""
    height, width = window.kernel
    return Options(5, (*_placed(window, padding), (3, "Int32", width), (4, "Int32", height)))


def gather(axis: int = 0) -> Options:
    """Of GATHER."""
    return Options(23, ((0, "Int32", axis),))


def concatenation(axis: int) -> Options:
    """Of CONCATENATION."""
    return Options(10, ((0, "Int32", axis),))


def cast(source: TensorType, target: TensorType) -> Options:
    """Of CAST."""
    return Options(37, ((0, "Int8", source), (1, "Int8", target)))


def leaky_relu(alpha: float) -> Options:
    """Of LEAKY_RELU."""
    return Options(75, ((0, "Float32", alpha),))


def gelu(*, is_approximate: bool) -> Options:
    """Of GELU."""
    return Options(116, ((0, "Bool", is_approximate),))


def resize_bilinear(*, align_corners: bool, half_pixel_centers: bool) -> Options:
    """Of RESIZE_BILINEAR; its slots 0 and 1 are deprecated."""
    return Options(15, ((2, "Bool", align_corners), (3, "Bool", half_pixel_centers)))


def transpose_conv(strides: tuple[int, int]) -> Options:
    """Of TRANSPOSE_CONV, with VALID."""
    vertical, horizontal = strides
    return Options(
        49, ((0, "Int8", Padding.VALID), (1, "Int32", horizontal), (2, "Int32", vertical))
    )


def random(seed: int, second_seed: int) -> Options:
    """Of RANDOM_UNIFORM; two zeros let the interpreter choose the seeds.

    The slots are of signed integers, which interpreters take for unsigned ones.
    """
    signed = np.array([seed, second_seed], np.uint64).view(np.int64).tolist()
    return Options(114, ((0, "Int64", signed[0]), (1, "Int64", signed[1])))


def _placed(window: Window, padding: Padding) -> tuple[Field, ...]:
    vertical, horizontal = window.strides
    return ((0, "Int8", padding), (1, "Int32", horizontal), (2, "Int32", vertical))


def _dilated(window: Window, first_slot: int) -> tuple[Field, ...]:
    vertical, horizontal = window.dilations
    return ((first_slot, "Int32", horizontal), (first_slot + 1, "Int32", vertical))
