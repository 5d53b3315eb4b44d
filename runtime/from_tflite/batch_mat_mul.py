"""Translates BATCH_MATMUL."""

from math import prod

import numpy as np

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.numbers import for_one_image, give_real, real, real_constant
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import NCHW_TO_NHWC
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import BatchMatMulOptions


def batch_mat_mul(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate BATCH_MATMUL of (N, ..., T, I) and (N, ..., I, S) of as many axes.

    Raises:
        UnsupportedError: The operands have other numbers of axes, or both are constant.
        ArtifactError: Their shapes do not fit.
    """
    options = operator.options_as(BatchMatMulOptions)
    if len(operator.inputs) != 2 or min(operator.inputs) < 0:
        raise UnsupportedError(f"expected two inputs, got {len(operator.inputs)}")
    left, right = (builder.tensor(place).shape for place in operator.inputs)
    rank = len(left)
    if rank != len(right) or rank < 3 or all(map(builder.is_constant, operator.inputs)):
        raise UnsupportedError(f"expected two computed stacks of matrices, got {left} and {right}")
    names = [
        _operand(builder, place, is_turned=is_turned)
        for place, is_turned in zip(operator.inputs, (options.adj_x, options.adj_y), strict=True)
    ]
    rows, inner = left[-2:][:: -1 if options.adj_x else 1]
    other, columns = right[-2:][:: -1 if options.adj_y else 1]
    if inner != other or left[:-2] != right[:-2]:
        raise ArtifactError(f"the matrices {left} and {right} do not fit")
    shape = (*left[:-2], rows, columns)
    builder.budget.spend_work(prod(shape[1:]) * inner)
    name = builder.emit("MatMul", names)
    give_real(builder, operator, builder.to_nchw(name, 4) if rank == 4 else name, shape)


def _operand(builder: OnnxBuilder, place: int, *, is_turned: bool) -> str:
    """Return the name of an operand in the file's order, its last axes exchanged on demand."""
    rank = len(builder.tensor(place).shape)
    if builder.is_constant(place):
        array = for_one_image(real_constant(builder, place))
        return builder.constant(np.swapaxes(array, -1, -2) if is_turned else array)
    name = real(builder, builder.value_of(place))
    order = list(NCHW_TO_NHWC) if rank == 4 else list(range(rank))
    if is_turned:
        order[-2:] = order[:-3:-1]
    return name if order == list(range(rank)) else builder.emit("Transpose", [name], perm=order)
