"""Translations of torch's operators that its exporter lacks, or translates less well.

Each takes the arguments of a torch operator; a value's shape has integers and the symbol of the
batch. The results keep the batch as first axis, which every engine and TFLite can follow.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset21
from onnxscript.function_libs.torch_lib.ops import core

Value = Any
"""A value of the graph under construction: an onnxscript tensor with `shape` and `dtype`."""

aten = torch.ops.aten
op: Any = opset21  # whose stubs want tensors for the lists of numbers that it takes


def _constant(numbers: Any, dtype: Any = np.int64) -> Value:
    return op.Constant(value=ir.tensor(np.asarray(numbers, dtype)))


def _rank(x: Value) -> int:
    return len(x.shape)


def _size(x: Value, axis: int) -> int:
    """The length of an axis that is not the batch.

    Raises:
        NotImplementedError: It is not known.
    """
    size = x.shape[axis]
    if not isinstance(size, int):
        raise NotImplementedError(f"expected axis {axis} to have a fixed length, got {x.shape}")
    return size


def _part(x: Value, axis: int, start: int, end: int) -> Value:
    return op.Slice(x, [start], [end], [axis])


def log_sigmoid(x: Value) -> Value:
    """-log(1 + exp(-x)): the logarithm of a sigmoid loses all digits of large negative numbers."""
    return op.Neg(op.Softplus(op.Neg(x)))


def hstack(tensors: Sequence[Value]) -> Value:
    """Join along the second axis; the first of vectors."""
    return op.Concat(*tensors, axis=min(1, _rank(tensors[0]) - 1))


def index(x: Value, indices: Sequence[Value | None]) -> Value:
    """x[:, :, places]: a Gather where one axis has places; else torch's own translation."""
    given = [axis for axis, places in enumerate(indices) if places is not None]
    if len(given) == 1 and indices[given[0]].dtype != ir.DataType.BOOL:  # type: ignore[union-attr]
        return op.Gather(x, indices[given[0]], axis=given[0])
    return core.aten_index(x, indices)


def attention(
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None = None,
    dropout: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    """softmax(scale * Q K^T + mask) V, for any number of leading axes."""
    order = [*range(_rank(key) - 2), _rank(key) - 1, _rank(key) - 2]
    places = _size(key, -2)
    if enable_gqa:
        key, value = (_repeated_heads(x, _size(query, 1)) for x in (key, value))
    factor = 1 / math.sqrt(_size(query, -1)) if scale is None else scale
    scores = op.MatMul(op.Mul(query, _constant(factor, np.float32)), op.Transpose(key, perm=order))
    if is_causal:
        allowed = np.tril(np.ones((_size(query, -2), places), np.bool_))
        scores = op.Add(scores, _constant(np.where(allowed, 0, -np.inf), np.float32))
    if mask is not None and mask.dtype == ir.DataType.BOOL:
        # A row without any place has the weights 0, as in torch, not NaN.
        lowest = _constant(np.finfo(np.float32).min, np.float32)
        weights = op.Softmax(op.Where(mask, scores, lowest), axis=-1)
        weights = op.Where(mask, weights, _constant(0, np.float32))
        return op.MatMul(weights, value)
    if mask is not None:
        scores = op.Add(scores, mask)
    return op.MatMul(op.Softmax(scores, axis=-1), value)


def _repeated_heads(x: Value, heads: int) -> Value:
    """Repeat each of the heads (N, H, T, C), so that there are as many as queries have."""
    own = _size(x, 1)
    if own == heads:
        return x
    return op.Gather(x, _constant(np.arange(heads) // (heads // own)), axis=1)


def adaptive_max_pool2d(x: Value, output_size: Sequence[int]) -> tuple[Value, Value]:
    """The maxima of about equal parts, along one axis after the other.

    Their places are not computed: the comparison with torch refuses a network that reads them.
    """
    sizes = {_rank(x) + axis: _size(x, axis) for axis in (-2, -1)}
    for (axis, size), count in zip(sizes.items(), output_size, strict=True):
        parts = []
        for i in range(count):
            part = _part(x, axis, i * size // count, -(-(i + 1) * size // count))
            parts.append(op.ReduceMax(part, [axis], keepdims=1))
        x = parts[0] if len(parts) == 1 else op.Concat(*parts, axis=axis)
    return x, op.Identity(x)


def rrelu(
    x: Value, noise: Value, lower: float = 0.125, upper: float = 1 / 3, *_: Any
) -> tuple[Value, Value]:
    """A leaky ReLU with the mean of the slopes, as in evaluation; the noise is not used there."""
    return op.LeakyRelu(x, alpha=(lower + upper) / 2), noise


def kth_value(x: Value, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Value, Value]:
    """The k-th smallest element along an axis, and its place."""
    found = op.TopK(x, [k], axis=dim, largest=0)
    axis = dim % _rank(x)
    last = [_part(each, axis, k - 1, k) for each in found]
    values, places = last if keepdim else [op.Squeeze(each, [axis]) for each in last]
    return values, places


def median(x: Value, dim: int = -1, keepdim: bool = False) -> tuple[Value, Value]:
    """The middle element along an axis; of an even number, the lower one."""
    return kth_value(x, (_size(x, dim) + 1) // 2, dim, keepdim)


def cumulative_product(x: Value, dim: int, dtype: int | None = None) -> Value:
    """The products of the elements along an axis, up to each."""
    axis = dim % _rank(x)
    parts = [_part(x, axis, i, i + 1) for i in range(_size(x, axis))]
    products = parts[:1]
    for part in parts[1:]:
        products.append(op.Mul(products[-1], part))
    return products[0] if len(products) == 1 else op.Concat(*products, axis=axis)


def cumulative_maximum(x: Value, dim: int) -> tuple[Value, Value]:
    """The largest elements along an axis, up to each, and their places; the last of equal ones."""
    return _extremes(x, dim, op.GreaterOrEqual)


def cumulative_minimum(x: Value, dim: int) -> tuple[Value, Value]:
    """As `cumulative_maximum`, of the smallest elements."""
    return _extremes(x, dim, op.LessOrEqual)


def _extremes(
    x: Value, dim: int, is_better: Callable[[Value, Value], Value]
) -> tuple[Value, Value]:
    axis = dim % _rank(x)
    values = [_part(x, axis, 0, 1)]
    places = [op.Cast(op.Mul(values[0], _constant(0, np.float32)), to=ir.DataType.INT64)]
    for i in range(1, _size(x, axis)):
        part = _part(x, axis, i, i + 1)
        is_new = is_better(part, values[-1])
        values.append(op.Where(is_new, part, values[-1]))
        places.append(op.Where(is_new, _constant(i), places[-1]))
    return op.Concat(*values, axis=axis), op.Concat(*places, axis=axis)


def hypot(x: Value, y: Value) -> Value:
    """The root of x^2 + y^2, scaled so that no square overflows."""
    x, y = op.Abs(x), op.Abs(y)
    larger, smaller = op.Max(x, y), op.Min(x, y)
    one = _constant(1, np.float32)
    share = op.Div(smaller, op.Where(op.Equal(larger, _constant(0, np.float32)), one, larger))
    return op.Mul(larger, op.Sqrt(op.Add(one, op.Mul(share, share))))


def distances(x: Value, y: Value, p: float = 2.0, *_: Any) -> Value:
    """The distances between all rows of (..., T, C) and (..., S, C)."""
    difference = op.Abs(op.Sub(op.Unsqueeze(x, [_rank(x) - 1]), op.Unsqueeze(y, [_rank(y) - 2])))
    if p == 2:
        return op.ReduceL2(difference, [-1], keepdims=0)
    if p == 1:
        return op.ReduceL1(difference, [-1], keepdims=0)
    if math.isinf(p):
        return op.ReduceMax(difference, [-1], keepdims=0)
    powers = op.ReduceSum(op.Pow(difference, _constant(p, np.float32)), [-1], keepdims=0)
    return op.Pow(powers, _constant(1 / p, np.float32))


TRANSLATIONS: Final[dict[Callable[..., Any], Callable[..., Any]]] = {
    aten.log_sigmoid.default: log_sigmoid,
    aten.log_sigmoid_forward.default: lambda x: (log_sigmoid(x), x),
    aten.hstack.default: hstack,
    aten.index.Tensor: index,
    aten.scaled_dot_product_attention.default: attention,
    aten.adaptive_max_pool2d.default: adaptive_max_pool2d,
    aten.rrelu_with_noise_functional.default: rrelu,
    aten.kthvalue.default: kth_value,
    aten.median.dim: median,
    aten.cumprod.default: cumulative_product,
    aten.cummax.default: cumulative_maximum,
    aten.cummin.default: cumulative_minimum,
    aten.hypot.default: hypot,
    aten._cdist_forward.default: distances,
}
"""By torch operator; they take precedence over those of torch's exporter."""
