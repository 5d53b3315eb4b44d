"""Translates operators that change the type of numbers: QUANTIZE, DEQUANTIZE, CAST, ARG_MAX."""

import numpy as np
import onnx

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.numbers import QUANTIZED, give_real, real
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.shaping import reshaped
from bnnkit.runtime.from_tflite.values import OnnxValue, axis_of
from bnnkit.tflite.network import Operator
from bnnkit.tflite.schema import DTYPES, Builtin, TensorType


def convert(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate QUANTIZE and DEQUANTIZE of computed values."""
    value = builder.value(operator)
    give_real(builder, operator, _converted(builder, value), value.shape)


def cast(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate CAST of numbers without a scale."""
    value, tensor = builder.value(operator), builder.tensor(operator.output)
    if value.kind == "signs" and not builder.is_packed(operator.inputs[0]):
        name = builder.emit("Cast", [value.name], to=onnx.TensorProto.FLOAT)
        name = builder.emit("Mul", [name, builder.constant(0.5)])
        value = OnnxValue(name=name, kind="real", shape=value.shape)
    if tensor.type == TensorType.BOOL:
        _cast_to_bool(builder, operator, value)
        return
    if value.kind not in ("plain", "real"):
        raise UnsupportedError(f"expected numbers without a scale, got {value.kind}")
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES[tensor.type]))
    name = builder.emit("Cast", [value.name], to=kind)
    if tensor.type == TensorType.FLOAT32:
        builder.give(operator.output, OnnxValue(name=name, kind="real", shape=value.shape))
    elif tensor.type not in QUANTIZED or tensor.quantization is None:
        builder.give(operator.output, OnnxValue(name=name, kind="plain", shape=value.shape))
    else:
        raise UnsupportedError("expected numbers without a scale as the result")


def _cast_to_bool(builder: OnnxBuilder, operator: Operator, value: OnnxValue) -> None:
    """Convert numbers to bools: true if they are not 0."""
    size = builder.emit("Abs", [builder.emit("Sign", [real(builder, value)])])
    name = builder.emit("Sub", [size, builder.constant(0.5)])
    name = builder.emit_binary("Sign", [name])
    builder.give(operator.output, OnnxValue(name=name, kind="signs", shape=value.shape))


def arg_max(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate ARG_MAX and ARG_MIN along an axis other than the batch; the first index wins."""
    value, tensor = builder.value(operator), builder.tensor(operator.output)
    found = builder.whole_numbers(operator, 1).reshape(-1).tolist()
    rank = len(value.shape)
    if len(found) != 1 or not -rank <= found[0] < rank or found[0] % rank == 0:
        raise UnsupportedError(f"expected an axis other than the batch, got {found}")
    if tensor.type not in (TensorType.INT32, TensorType.INT64):
        raise UnsupportedError(f"expected integers as the result, got {tensor.type.name}")
    axis, name = found[0] % rank, real(builder, value)
    if operator.code == Builtin.ARG_MIN:
        name = builder.emit("Neg", [name])
    name = builder.emit("ArgMax", [name], axis=axis_of(axis, rank), keepdims=1)
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES[tensor.type]))
    name = builder.emit("Cast", [name], to=kind)
    best = OnnxValue(
        name=name, kind="plain", shape=(*value.shape[:axis], 1, *value.shape[axis + 1 :])
    )
    shape = (*value.shape[:axis], *value.shape[axis + 1 :])
    builder.give(operator.output, reshaped(builder, best, shape))


def _converted(builder: OnnxBuilder, value: OnnxValue) -> str:
    """The value as real numbers, with a node of its own even if nothing has to be done."""
    if value.kind == "quantized":
        return real(builder, value)
    return builder.emit("Identity", [real(builder, value)])
