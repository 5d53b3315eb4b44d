"""Real-valued operators of ONNX in NumPy, for the parts of a network that are not binary.

Each function takes the attributes and the arrays of a node and follows the ONNX specification
(https://onnx.ai/onnx/operators/), with one rounding an operation: an elementwise result is the same bits everywhere.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Array = NDArray[Any]
Attributes = dict[str, Any]


def _relu(a: Attributes, x: Array) -> Array:
    return np.maximum(x, x.dtype.type(0))


def _leaky_relu(a: Attributes, x: Array) -> Array:
    return np.where(x < 0, x * np.float32(a.get("alpha", 0.01)), x)


def _p_relu(a: Attributes, x: Array, slope: Array) -> Array:
    return np.where(x < 0, x * slope, x)


def _clip(a: Attributes, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    low = a.get("min", -np.inf) if low is None else low
    high = a.get("max", np.inf) if high is None else high
    return np.clip(x, low, high).astype(x.dtype, copy=False)


def _sigmoid(a: Attributes, x: Array) -> Array:
    return (1 / (1 + np.exp(-x))).astype(x.dtype)


def _hard_sigmoid(a: Attributes, x: Array) -> Array:
    alpha, beta = np.float32(a.get("alpha", 0.2)), np.float32(a.get("beta", 0.5))
    return np.clip(x * alpha + beta, 0, 1).astype(x.dtype, copy=False)


def _hard_swish(a: Attributes, x: Array) -> Array:
    return x * np.clip(x * np.float32(1 / 6) + np.float32(0.5), 0, 1).astype(x.dtype, copy=False)


def _elu(a: Attributes, x: Array) -> Array:
    return np.where(x < 0, np.float32(a.get("alpha", 1.0)) * np.expm1(x), x)


def _softplus(a: Attributes, x: Array) -> Array:
    return np.logaddexp(x, x.dtype.type(0))


def _cast(a: Attributes, x: Array) -> Array:
    return x.astype(onnx.helper.tensor_dtype_to_np_dtype(a["to"]))


def _dequantize(a: Attributes, x: Array, scale: Array, zero: Array | None = None) -> Array:
    shift = 0 if zero is None else zero.astype(np.int32)
    return (x.astype(np.int32) - shift).astype(np.float32) * scale


ELEMENTWISE: dict[str, Callable[..., Array]] = {
    "Add": lambda a, x, y: np.add(x, y),
    "Sub": lambda a, x, y: np.subtract(x, y),
    "Mul": lambda a, x, y: np.multiply(x, y),
    "Div": lambda a, x, y: np.divide(x, y).astype(x.dtype, copy=False),
    "Max": lambda a, *xs: np.maximum.reduce(np.broadcast_arrays(*xs)),
    "Min": lambda a, *xs: np.minimum.reduce(np.broadcast_arrays(*xs)),
    "Sum": lambda a, x, *xs: sum(xs, start=x),
    "Neg": lambda a, x: np.negative(x),
    "Abs": lambda a, x: np.abs(x),
    "Sqrt": lambda a, x: np.sqrt(x),
    "Exp": lambda a, x: np.exp(x),
    "Log": lambda a, x: np.log(x),
    "Tanh": lambda a, x: np.tanh(x),
    "Identity": lambda a, x: x,
    "Dropout": lambda a, x, *_: x,
    "Relu": _relu,
    "LeakyRelu": _leaky_relu,
    "PRelu": _p_relu,
    "Clip": _clip,
    "Sigmoid": _sigmoid,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Elu": _elu,
    "Softplus": _softplus,
    "Cast": _cast,
}
"""Operators that treat each element alone, and so work in any memory layout."""


def _axes(a: Attributes, axes: Array | None) -> tuple[int, ...] | None:
    """Axes are an attribute in old versions of an operator and an input in new ones."""
    found = a.get("axes") if axes is None else axes.tolist()
    return None if found is None else tuple(int(axis) for axis in found)


def _softmax(a: Attributes, x: Array) -> Array:
    axis = a.get("axis", -1)
    exponential = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponential / exponential.sum(axis=axis, keepdims=True)


def _log_softmax(a: Attributes, x: Array) -> Array:
    return np.log(_softmax(a, x))


def _flatten(a: Attributes, x: Array) -> Array:
    axis = a.get("axis", 1) % (x.ndim + 1)
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def _reshape(a: Attributes, x: Array, shape: Array) -> Array:
    sizes = [x.shape[i] if size == 0 else int(size) for i, size in enumerate(shape)]
    return x.reshape(sizes)


def _squeeze(a: Attributes, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, _axes(a, axes))


def _unsqueeze(a: Attributes, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, _axes(a, axes) or ())


def _transpose(a: Attributes, x: Array) -> Array:
    return np.transpose(x, a.get("perm"))


def _concat(a: Attributes, *xs: Array) -> Array:
    return np.concatenate(xs, axis=a["axis"])


def _slice(
    a: Attributes,
    x: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    cut = [slice(None)] * x.ndim
    along = range(len(starts)) if axes is None else axes.tolist()
    for i, axis in enumerate(along):
        step = 1 if steps is None else int(steps[i])
        end = int(ends[i])
        # A negative step runs past the first element where its end lies before it.
        stop = None if step < 0 and end < -x.shape[axis] else end
        cut[axis] = slice(int(starts[i]), stop, step)
    return x[tuple(cut)]


def _pad(
    a: Attributes, x: Array, pads: Array, value: Array | None = None, axes: Array | None = None
) -> Array:
    widths = [(0, 0)] * x.ndim
    half = len(pads) // 2
    for i, axis in enumerate(range(half) if axes is None else axes.tolist()):
        widths[axis] = (int(pads[i]), int(pads[i + half]))
    mode = a.get("mode", b"constant").decode()
    if mode == "constant":
        return np.pad(x, widths, constant_values=x.dtype.type(0 if value is None else value))
    return np.pad(x, widths, mode=mode)  # reflect and edge have the same names in NumPy


def _reduction(function: Callable[..., Array]) -> Callable[..., Array]:
    def reduce(a: Attributes, x: Array, axes: Array | None = None) -> Array:
        return function(x, axis=_axes(a, axes), keepdims=bool(a.get("keepdims", 1)))

    return reduce


def _global_average_pool(a: Attributes, x: Array) -> Array:
    return x.mean(axis=tuple(range(2, x.ndim)), keepdims=True)


def _global_max_pool(a: Attributes, x: Array) -> Array:
    return x.max(axis=tuple(range(2, x.ndim)), keepdims=True)


def pool_output(
    size: int, window: int, stride: int, pads: tuple[int, int], dilation: int, ceil: bool
) -> int:
    """Output length of a pooling along one axis, by the ONNX specification."""
    span = size + sum(pads) - (dilation * (window - 1) + 1)
    if not ceil:
        return span // stride + 1
    length = -(-span // stride) + 1
    # A window that would start in the padding behind the input is left out.
    return length - 1 if (length - 1) * stride >= size + pads[0] else length


def _windows(a: Attributes, x: Array, fill: float) -> tuple[list[Array], tuple[int, int]]:
    """Every pixel of the window as an array over all outputs, in the window's row-major order."""
    size = a["kernel_shape"]
    stride = a.get("strides", [1, 1])
    dilation = a.get("dilations", [1, 1])
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    ceil = bool(a.get("ceil_mode", 0))
    out = tuple(
        pool_output(x.shape[2 + i], size[i], stride[i], pads, dilation[i], ceil)
        for i, pads in enumerate(((top, bottom), (left, right)))
    )
    reach = [(out[i] - 1) * stride[i] + dilation[i] * (size[i] - 1) + 1 for i in range(2)]
    after = [max(0, reach[i] - x.shape[2 + i] - (top, left)[i]) for i in range(2)]
    padded = np.pad(x, ((0, 0), (0, 0), (top, after[0]), (left, after[1])), constant_values=fill)
    pixels = [
        padded[
            :,
            :,
            ky * dilation[0] :: stride[0],
            kx * dilation[1] :: stride[1],
        ][:, :, : out[0], : out[1]]
        for ky in range(size[0])
        for kx in range(size[1])
    ]
    return pixels, (out[0], out[1])


def _max_pool(a: Attributes, x: Array) -> Array:
    low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    pixels, _ = _windows(a, x, low)
    return np.maximum.reduce(pixels)


def _average_pool(a: Attributes, x: Array) -> Array:
    pixels, _ = _windows(a, x, 0)
    inside = np.ones((1, 1, *x.shape[2:]), x.dtype)
    if a.get("count_include_pad", 0):
        top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
        inside = np.pad(inside, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=1)
        a = {**a, "pads": [0, 0, 0, 0]}
    counted, _ = _windows(a, inside, 0)
    return sum(pixels[1:], start=pixels[0]) / sum(counted[1:], start=counted[0])


def _batch_norm(
    a: Attributes, x: Array, scale: Array, bias: Array, mean: Array, var: Array
) -> Array:
    shape = (-1,) + (1,) * (x.ndim - 2)
    alpha = scale * (np.float32(1) / np.sqrt(var + np.float32(a.get("epsilon", 1e-5))))
    beta = bias - mean * alpha
    return x * alpha.reshape(shape) + beta.reshape(shape)


def _gemm(a: Attributes, x: Array, w: Array, bias: Array | None = None) -> Array:
    left = x.T if a.get("transA") else x
    right = w.T if a.get("transB") else w
    product = np.float32(a.get("alpha", 1.0)) * (left @ right)
    return product if bias is None else product + np.float32(a.get("beta", 1.0)) * bias


def _arg_max(a: Attributes, x: Array) -> Array:
    axis = a.get("axis", 0)
    best = np.argmax(x, axis=axis)
    return np.expand_dims(best, axis) if a.get("keepdims", 1) else best


OPERATORS: dict[str, Callable[..., Array]] = ELEMENTWISE | {
    "DequantizeLinear": _dequantize,
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Slice": _slice,
    "Pad": _pad,
    "ReduceMean": _reduction(np.mean),
    "ReduceSum": _reduction(np.sum),
    "ReduceMax": _reduction(np.max),
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
    "MatMul": lambda a, x, y: np.matmul(x, y),
    "ArgMax": _arg_max,
    "Shape": lambda a, x: np.array(x.shape[a.get("start", 0) : a.get("end")], np.int64),
    "Gather": lambda a, x, i: np.take(x, i, axis=a.get("axis", 0)),
}
"""All real-valued operators that the runtime has, but for Conv, which has a kernel."""


def arguments(arrays: Sequence[Array | None]) -> list[Array | None]:
    """Inputs of a node as a function takes them: those left out at the end are not given."""
    given = list(arrays)
    while given and given[-1] is None:
        given.pop()
    return given
