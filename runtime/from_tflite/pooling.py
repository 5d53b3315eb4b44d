"""Pooling and reductions."""

from math import prod

import numpy as np

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.numbers import fixed_point, give_real, give_rounded, real, scale_of
from bnnkit.runtime.from_tflite.values import axis_of
from bnnkit.runtime.from_tflite.window import POOLED, Window, padding_of
from bnnkit.tflite.network import Operator
from bnnkit.tflite.read_options import Options
from bnnkit.tflite.schema import Builtin

_POOL_2D, _REDUCER = 5, 27
_REDUCTIONS = {
    Builtin.MEAN: "ReduceMean",
    Builtin.SUM: "ReduceSum",
    Builtin.REDUCE_MAX: "ReduceMax",
    Builtin.REDUCE_MIN: "ReduceMin",
    Builtin.REDUCE_PROD: "ReduceProd",
}


def pool_2d(draft: Draft, operator: Operator) -> None:
    """MAX_POOL_2D and AVERAGE_POOL_2D; an average counts the pixels inside the map only."""
    value, options = draft.value(operator), Options(operator, _POOL_2D)
    if not value.is_map:
        raise UnsupportedError(f"expected a map (N, H, W, C), got the shape {value.shape}")
    batch, height, width, channels = value.shape
    window = Window(
        kernel=(options.whole(4), options.whole(3)),
        strides=(options.whole(2), options.whole(1)),
        padding=padding_of(options.byte(0)),
    )
    window.spend(draft.budget, value.shape, POOLED * channels * prod(window.kernel))
    attributes = window.attributes((height, width))
    kind = "MaxPool" if operator.code == Builtin.MAX_POOL_2D else "AveragePool"
    if kind == "AveragePool" and window.kernel == (height, width) and not any(attributes["pads"]):
        name = draft.emit("GlobalAveragePool", [real(draft, value)])
    else:
        name = draft.emit(kind, [real(draft, value)], **attributes)
    shape = (batch, *window.output((height, width)), channels)
    give_real(draft, operator, name, shape, options.byte(5))


def reduce(draft: Draft, operator: Operator) -> None:
    """MEAN, SUM and the like over constant axes behind the batch."""
    value, rank = draft.value(operator), len(draft.value(operator).shape)
    found = draft.whole_numbers(operator, 1).reshape(-1).tolist()
    if any(not -rank <= axis < rank for axis in found):
        raise ArtifactError(f"the axes {found} do not fit the shape {value.shape}")
    axes = sorted({axis % rank for axis in found})
    keeps = bool(Options(operator, _REDUCER).byte(0))
    if not axes or 0 in axes:
        raise UnsupportedError(f"expected axes behind the batch, got {found}")
    shape = tuple(
        1 if i in axes else size for i, size in enumerate(value.shape) if keeps or i not in axes
    )
    is_fixed_point = operator.code == Builtin.MEAN and value.kind == "quantized"
    name = value.name if is_fixed_point else real(draft, value)
    inner = [axis_of(axis, rank) for axis in axes]
    if rank == 4 and not keeps and axes in ([1], [2], [1, 3], [2, 3]) and prod(shape) > 1:
        name, inner = draft.to_nhwc(name, 4), axes  # what is left has no channels in front
    constant = draft.constant(np.sort(inner), np.int64)
    kind = "ReduceSum" if is_fixed_point else _REDUCTIONS[operator.builtin]
    name = draft.emit(kind, [name, constant], keepdims=int(keeps))
    if len(shape) == 4 and rank != 4:
        name = draft.to_nchw(name, 4)
    if not is_fixed_point:
        give_real(draft, operator, name, shape)
        return
    count = prod(value.shape[axis] for axis in axes)
    scale, _ = scale_of(draft.tensor(operator.output))
    name = fixed_point(draft, name, value.scale / scale / count)
    give_rounded(draft, operator, name, shape)
