"""Translates pooling and reductions."""

from math import prod

import numpy as np

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.numbers import fixed_point, give_real, give_rounded, real, scale_of
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import axis_of
from bnnkit.runtime.from_tflite.window import POOLED, attributes, spend, window_on
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import Pool2DOptions, ReducerOptions
from bnnkit.tflite.schema import Builtin

REDUCTIONS = {
    Builtin.MEAN: "ReduceMean",
    Builtin.SUM: "ReduceSum",
    Builtin.REDUCE_MAX: "ReduceMax",
    Builtin.REDUCE_MIN: "ReduceMin",
    Builtin.REDUCE_PROD: "ReduceProd",
}


def pool_2d(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate MAX_POOL_2D and AVERAGE_POOL_2D; an average only counts pixels inside the map."""
    value, options = builder.value(operator), operator.options_as(Pool2DOptions)
    if not value.is_map:
        raise UnsupportedError(f"expected a map (N, H, W, C), got the shape {value.shape}")
    batch, height, width, channels = value.shape
    window = window_on(
        (height, width),
        kernel=(options.filter_height, options.filter_width),
        strides=(options.stride_h, options.stride_w),
        padding=options.padding,
    )
    spend(builder.budget, window, value.shape, POOLED * channels * prod(window.kernel))
    kind = "MaxPool" if operator.code == Builtin.MAX_POOL_2D else "AveragePool"
    if kind == "AveragePool" and window.kernel == (height, width) and not any(window.pads):
        name = builder.emit("GlobalAveragePool", [real(builder, value)])
    else:
        name = builder.emit(kind, [real(builder, value)], **attributes(window))
    shape = (batch, *window.output((height, width)), channels)
    give_real(builder, operator, name, shape, options.fused_activation_function)


def reduce(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate MEAN, SUM and other reductions over constant axes other than the batch."""
    value, rank = builder.value(operator), len(builder.value(operator).shape)
    found = builder.whole_numbers(operator, 1).reshape(-1).tolist()
    if any(not -rank <= axis < rank for axis in found):
        raise ArtifactError(f"the axes {found} do not fit the shape {value.shape}")
    axes = sorted({axis % rank for axis in found})
    keeps = operator.options_as(ReducerOptions).keep_dims
    if not axes or 0 in axes:
        raise UnsupportedError(f"expected axes other than the batch, got {found}")
    shape = tuple(
        1 if i in axes else size for i, size in enumerate(value.shape) if keeps or i not in axes
    )
    is_fixed_point = operator.code == Builtin.MEAN and value.kind == "quantized"
    name = value.name if is_fixed_point else real(builder, value)
    inner = [axis_of(axis, rank) for axis in axes]
    if rank == 4 and not keeps and axes in ([1], [2], [1, 3], [2, 3]) and prod(shape) > 1:
        name, inner = builder.to_nhwc(name, 4), axes  # the result has no channels to put first
    constant = builder.constant(np.sort(inner), np.int64)
    kind = "ReduceSum" if is_fixed_point else REDUCTIONS[operator.builtin]
    name = builder.emit(kind, [name, constant], keepdims=int(keeps))
    if len(shape) == 4 and rank != 4:
        name = builder.to_nchw(name, 4)
    if not is_fixed_point:
        give_real(builder, operator, name, shape)
        return
    count = prod(value.shape[axis] for axis in axes)
    scale, _ = scale_of(builder.tensor(operator.output))
    name = fixed_point(builder, name, value.scale / scale / count)
    give_rounded(builder, operator, name, shape)
