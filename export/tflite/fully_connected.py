"""Lowers dense layers of float32 to FULLY_CONNECTED."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import layout
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.options import FullyConnectedOptions
from bnnkit.tflite.schema import Builtin


def fully_connected(
    builder: TfliteBuilder, tensor: int, weight: NDArray[Any], bias: NDArray[Any]
) -> int:
    """Emit FULLY_CONNECTED: weight @ x + bias.

    Args:
        builder: Gets the operator.
        tensor: (N, I), or a map (N, H, W, C), which TFLite flattens.
        weight: (O, I), with inputs in the order of the tensor.
        bias: (O,).
    """
    inputs = [builder.constant(numbers.astype(np.float32)) for numbers in (weight, bias)]
    shape = (builder.batch, len(weight))
    return builder.emit(Builtin.FULLY_CONNECTED, [tensor, *inputs], shape)


def on_last_axis(builder: TfliteBuilder, tensor: int, weight: NDArray[Any]) -> int:
    """Emit FULLY_CONNECTED without bias for each vector of (N, ..., I)."""
    zeros = np.zeros(len(weight), np.float32)
    inputs = [builder.constant(numbers.astype(np.float32)) for numbers in (weight, zeros)]
    shape = (*builder.shape(tensor)[:-1], len(weight))
    options = FullyConnectedOptions(keep_num_dims=True)
    return builder.emit(Builtin.FULLY_CONNECTED, [tensor, *inputs], shape, options=options)


def in_order_of(x: TfliteValue, weight: NDArray[Any]) -> NDArray[Any]:
    """A weight (O, C * H * W) in the order (H, W, C) if its input is a flattened map."""
    if x.map is None:
        return weight
    maps = weight.reshape(-1, *x.map)
    return maps.transpose(0, 2, 3, 1).reshape(len(weight), -1)


def gemm(builder: TfliteBuilder, node: Node) -> None:
    """Lower Gemm with a constant weight."""
    if node.attributes.get("transA", 0):
        raise UnsupportedError("expected transA = 0, got 1: transpose the input before the layer")
    weight = builder.constant_of(node, 1) * np.float32(node.attributes.get("alpha", 1.0))
    rows = weight if node.attributes.get("transB", 0) else weight.T
    bias = np.zeros(len(rows), np.float32)
    if len(node.inputs) > 2 and node.inputs[2]:
        beta = np.float32(node.attributes.get("beta", 1.0))
        bias = np.broadcast_to(builder.constant_of(node, 2).reshape(-1) * beta, bias.shape)
    _dense(builder, node, rows, bias)


def mat_mul(builder: TfliteBuilder, node: Node) -> None:
    """Lower MatMul of vectors (N, ..., I) with a constant matrix (I, O), or of two values."""
    if node.inputs[1] not in builder.source.constants:
        builder.give(node.output, _batch_mat_mul(builder, node))
        return
    x, rows = builder.value(node), builder.constant_of(node, 1).T
    if len(x.shape) > 1 and rows.ndim == 2 and x.kind == "real":
        tensor = on_last_axis(builder, layout.as_onnx(builder, x), rows)
        shape = (*x.shape[:-1], len(rows))
        builder.give(node.output, _of_onnx(builder, x, tensor, shape))
        return
    _dense(builder, node, rows, np.zeros(len(rows), np.float32))


def _batch_mat_mul(builder: TfliteBuilder, node: Node) -> TfliteValue:
    """Emit BATCH_MATMUL of (N, ..., T, I) and (N, ..., I, S), or of a constant (T, I) and that."""
    right = builder.value(node, 1)
    constant = builder.source.constants.get(node.inputs[0])
    if constant is not None:
        shape = (builder.batch, *right.shape[:-2], *constant.shape[-2:])
        left_shape = shape[1:]
        tensor = builder.constant(np.broadcast_to(constant, shape).astype(np.float32))
    else:
        left = builder.value(node)
        left_shape, tensor = left.shape, layout.as_onnx(builder, left)
        if left.kind != "real":
            raise UnsupportedError(f"expected real numbers, got {left.kind}")
    if right.kind != "real" or len(left_shape) != len(right.shape) or len(left_shape) < 2:
        raise UnsupportedError(
            f"expected two matrices of real numbers with the same number of axes, got"
            f" (N, *{left_shape}) and {right.kind} (N, *{right.shape})"
        )
    if left_shape[:-2] != right.shape[:-2]:
        raise UnsupportedError(
            f"expected as many matrices on both sides, got (N, *{left_shape}) and"
            f" (N, *{right.shape})"
        )
    shape = (*left_shape[:-1], right.shape[-1])
    inputs = [tensor, layout.as_onnx(builder, right)]
    product = builder.emit(Builtin.BATCH_MATMUL, inputs, (builder.batch, *shape))
    return _of_onnx(builder, right, product, shape)


def _of_onnx(
    builder: TfliteBuilder, like: TfliteValue, tensor: int, shape: tuple[int, ...]
) -> TfliteValue:
    """A value of real numbers for a tensor in ONNX's layout, (N, *shape)."""
    result = layout.real(like, tensor, map=None, may_be_minus_zero=True)
    return layout.of_elements(builder, result, tensor, shape)


def _dense(builder: TfliteBuilder, node: Node, rows: NDArray[Any], bias: NDArray[Any]) -> None:
    x = builder.value(node)
    if len(x.shape) != 1 or rows.ndim != 2 or x.kind != "real":
        raise UnsupportedError(
            f"expected real vectors and a matrix, got {x.kind} (N, *{x.shape}) and a weight of"
            f" {rows.ndim} axes"
        )
    tensor = fully_connected(builder, x.tensor, in_order_of(x, rows), bias)
    result = layout.real(x, tensor, shape=(len(rows),), map=None, may_be_minus_zero=True)
    builder.give(node.output, result)
