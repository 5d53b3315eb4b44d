"""Functions of each number alone, or of each vector, that take several nodes."""

import math

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.numbers import give_real, real, vectors_of
from bnnkit.runtime.from_tflite.values import axis_of
from bnnkit.tflite.network import Operator
from bnnkit.tflite.read_options import Options

_GELU, _L2_NORM = 116, 12
_LEAST_NORM = 1e-6
"""What TFLite divides by at least."""


def square(draft: Draft, operator: Operator) -> None:
    """SQUARE."""
    value = draft.value(operator)
    name = real(draft, value)
    give_real(draft, operator, draft.emit("Mul", [name, name]), value.shape)


def rsqrt(draft: Draft, operator: Operator) -> None:
    """RSQRT."""
    value = draft.value(operator)
    root = draft.emit("Sqrt", [real(draft, value)])
    give_real(draft, operator, draft.emit("Div", [draft.constant(1.0), root]), value.shape)


def gelu(draft: Draft, operator: Operator) -> None:
    """GELU: x times the normal distribution's probability of less than x, or its tanh form."""
    value = draft.value(operator)
    name = real(draft, value)
    if Options(operator, _GELU).byte(0):
        cube = draft.emit("Mul", [draft.emit("Mul", [name, name]), name])
        cube = draft.emit("Mul", [cube, draft.constant(0.044715)])
        sums = draft.emit("Add", [name, cube])
        inner = draft.emit("Mul", [sums, draft.constant(math.sqrt(2 / math.pi))])
        bent = draft.emit("Tanh", [inner])
    else:
        bent = draft.emit("Erf", [draft.emit("Mul", [name, draft.constant(math.sqrt(0.5))])])
    half = draft.emit("Mul", [name, draft.constant(0.5)])
    raised = draft.emit("Add", [bent, draft.constant(1.0)])
    give_real(draft, operator, draft.emit("Mul", [half, raised]), value.shape)


def l2_normalization(draft: Draft, operator: Operator) -> None:
    """L2_NORMALIZATION: vectors along the last axis, divided by their length."""
    value = vectors_of(draft, operator)
    rank, name = len(value.shape), real(draft, value)
    squares = draft.emit("Mul", [name, name])
    axes = draft.constant([axis_of(-1, rank)], np.int64)
    length = draft.emit("Sqrt", [draft.emit("ReduceSum", [squares, axes], keepdims=1)])
    length = draft.emit("Max", [length, draft.constant(_LEAST_NORM)])
    activation = Options(operator, _L2_NORM).byte(0)
    divided = draft.emit("Div", [name, length])
    give_real(draft, operator, divided, value.shape, activation)


def add_n(draft: Draft, operator: Operator) -> None:
    """ADD_N: a sum of computed values of one shape, from the first to the last."""
    values = [draft.value(operator, index) for index in range(len(operator.inputs))]
    if len(values) < 2 or len({value.shape for value in values}) != 1:
        raise UnsupportedError("expected two or more values of one shape")
    name = real(draft, values[0])
    for value in values[1:]:
        name = draft.emit("Add", [name, real(draft, value)])
    give_real(draft, operator, name, values[0].shape)
