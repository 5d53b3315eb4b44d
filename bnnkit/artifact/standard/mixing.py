"""Matrix products, and integers that stand for reals."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _dequantize(a: Attributes, x: Array, scale: Array, zero: Array | None = None) -> Array:
    if a.get("output_dtype", 0):
        raise UnsupportedError("DequantizeLinear with the attribute output_dtype is not supported")
    factor = _along(a, x, scale)
    if x.dtype.kind in "iu" or x.dtype.name.removeprefix("u") in ("int4", "int2"):
        shift = np.int32(0) if zero is None else _along(a, x, zero.astype(np.int32))
        x = x.astype(np.int32) - shift
    elif zero is not None and zero.astype(np.float32).any():
        raise UnsupportedError("expected the zero point of DequantizeLinear of reals to be 0")
    return np.asarray(x.astype(scale.dtype) * factor)


def _along(a: Attributes, x: Array, numbers: Array) -> Array:
    """Return scales or zero points in a shape that broadcasts to x.

    There is one number in all, one for each index along `axis`, or one for each block along it.
    """
    axis = a.get("axis", 1)
    if a.get("block_size", 0):
        spread = np.repeat(numbers, a["block_size"], axis=axis)
        return np.take(spread, range(x.shape[axis]), axis=axis)
    if numbers.size == 1:
        return numbers.reshape(())
    shape = [1] * x.ndim
    shape[axis] = numbers.size
    return numbers.reshape(shape)


def _gemm(a: Attributes, x: Array, w: Array, bias: Array | None = None) -> Array:
    left = x.T if a.get("transA") else x
    right = w.T if a.get("transB") else w
    product = _times(left @ right, a.get("alpha", 1.0))
    return product if bias is None else product + _times(bias, a.get("beta", 1.0))


def _times(x: Array, factor: float) -> Array:
    if factor == 1:
        return x
    if x.dtype.kind != "f":
        raise UnsupportedError(
            f"expected the attributes alpha and beta of Gemm of integers to be 1, got {factor:g}"
        )
    return np.asarray(x * x.dtype.type(factor))


def _mat_mul(a: Attributes, x: Array, y: Array) -> Array:
    return np.asarray(np.matmul(_as_matrices(x), _as_matrices(y)))


def _as_matrices(x: Array) -> Array:
    """Copy matrices with gaps in memory, which NumPy would multiply slowly, without BLAS.

    BLAS takes matrices whose rows or columns are contiguous.
    """
    if x.ndim < 2 or x.itemsize in x.strides[-2:]:
        return x
    return np.ascontiguousarray(x)


MIXING: dict[str, Callable[..., Array]] = {
    "DequantizeLinear": _dequantize,
    "Gemm": _gemm,
    "MatMul": _mat_mul,
}
"""The functions by operator type."""
