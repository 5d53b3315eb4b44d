"""The input and the outputs of the artifact: those of the file, but with a free batch."""

from math import prod

import numpy as np
import onnx
from onnx import helper

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.lce_operators import as_real
from bnnkit.runtime.from_tflite.numbers import QUANTIZED, scale_of
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import WORD_BITS, Kind, OnnxValue, axis_of, n_words
from bnnkit.tflite.network import Tensor
from bnnkit.tflite.schema import DTYPES, TensorType

_BATCH = "N"
_OUTPUT_NODES = 3
"""Most nodes that turn a value into an output."""
_WORD_NODES = 9
"""Values of that size that packing signs takes; those of 64 bits count twice."""


def give_input(builder: OnnxBuilder, place: int) -> onnx.ValueInfoProto:
    """Add the input of the file.

    Raises:
        UnsupportedError: No operator takes inputs of its type.
    """
    tensor, name = builder.tensor(place), builder.unique(builder.tensor(place).name or "input")
    given = _info(name, tensor)
    inner = builder.to_nchw(name, len(tensor.shape))
    kind: Kind = "plain"
    scale = 1.0
    if tensor.type == TensorType.FLOAT32:
        kind = "real"
    elif tensor.type in QUANTIZED and tensor.quantization is not None:
        kind = "quantized"
        scale, zero_point = scale_of(tensor)
        inner = builder.emit("Cast", [inner], to=onnx.TensorProto.FLOAT)
        inner = builder.emit("Sub", [inner, builder.constant(zero_point)])
    elif tensor.type not in (*QUANTIZED, TensorType.INT32):
        raise UnsupportedError(f"expected an input of float32 or bytes, got {tensor.type.name}")
    builder.give_input(place, OnnxValue(name=inner, kind=kind, shape=tensor.shape, scale=scale))
    return given


def give_output(builder: OnnxBuilder, place: int) -> onnx.ValueInfoProto:
    """Add an output, in the type and layout of the file."""
    value, tensor = builder.given(place), builder.tensor(place)
    builder.budget.spend_values(prod(value.shape[1:]), _OUTPUT_NODES)
    name, rank = value.name, len(value.shape)
    if value.kind == "quantized":
        _, zero_point = scale_of(tensor)
        name = builder.emit("Add", [name, builder.constant(zero_point)])
        name = builder.emit("Cast", [name], to=_dtype(tensor))
    elif value.kind == "signs" and tensor.type == TensorType.BOOL:
        name = builder.emit("Cast", [name], to=_dtype(tensor))
    elif value.kind == "signs":
        return _info(_named(builder, place, _words(builder, value)), tensor)
    name = builder.to_nhwc(name, rank)
    return _info(_named(builder, place, name), tensor)


def _named(builder: OnnxBuilder, place: int, name: str) -> str:
    """Name of a value that becomes an output; that of the tensor, if it is still free."""
    if name in builder.named_outputs:
        builder.named_outputs.remove(name)  # the name serves one output only
        return name
    if not builder.nodes or builder.nodes[-1].output[0] != name or builder.is_read(name):
        builder.emit("Identity", [name])
    return builder.rename_last(builder.tensor(place).name or "output")


def _words(builder: OnnxBuilder, value: OnnxValue) -> str:
    """Name of signs packed in words of 32 bits, as in the file."""
    *outer, channels = value.shape
    words, rank = n_words(channels), len(value.shape)
    builder.budget.spend_values(prod(outer[1:]) * words * WORD_BITS, _WORD_NODES)
    real = as_real(builder, value)
    widths = np.zeros((2, rank), np.int64)
    widths[1, axis_of(-1, rank)] = words * WORD_BITS - channels
    pads = builder.constant(widths.ravel(), np.int64)
    padded = builder.emit("Pad", [real, pads, builder.constant(1.0)])
    sizes = builder.constant([0, *outer[1:], words, WORD_BITS], np.int64)
    signs = builder.emit("Reshape", [builder.to_nhwc(padded, rank), sizes])
    negative = builder.emit("Relu", [builder.emit("Neg", [signs])])
    bits = builder.emit("Cast", [negative], to=onnx.TensorProto.INT64)
    weights = builder.constant(2 ** np.arange(WORD_BITS, dtype=np.int64), np.int64)
    products = builder.emit("Mul", [bits, weights])
    axes = builder.constant([-1], np.int64)
    sums = builder.emit("ReduceSum", [products, axes], keepdims=0)
    return builder.emit("Cast", [sums], to=onnx.TensorProto.INT32)


def _dtype(tensor: Tensor) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES[tensor.type])))


def _info(name: str, tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _dtype(tensor), [_BATCH, *tensor.shape[1:]])
