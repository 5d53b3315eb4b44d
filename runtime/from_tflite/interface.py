"""The input and the outputs of a TFLite network, as the file has them but with a free batch."""

from math import prod

import numpy as np
import onnx
from onnx import helper

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.lce_operators import as_real
from bnnkit.runtime.from_tflite.numbers import QUANTIZED, scale_of
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import WORD_BITS, Kind, Value, axis_of, n_words
from bnnkit.tflite.network import Tensor
from bnnkit.tflite.schema import DTYPES, TensorType

_BATCH = "N"
_OUTPUT_NODES = 3
"""That make an output of a value, at most."""
_WORD_NODES = 9
"""That make words of signs; some of their results are of 64 bits."""


def give_input(builder: OnnxBuilder, place: int) -> onnx.ValueInfoProto:
    """The input, which becomes a value of the artifact.

    Raises:
        UnsupportedError: It has a type that no operator takes.
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
    builder.give_input(place, Value(name=inner, kind=kind, shape=tensor.shape, scale=scale))
    return given


def give_output(builder: OnnxBuilder, place: int) -> onnx.ValueInfoProto:
    """An output, in the file's own type and layout."""
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
    """A value that is an output of the network, under the tensor's name if it is free."""
    if name in builder.named_outputs:
        builder.named_outputs.remove(name)  # a value is an output once
        return name
    if not builder.nodes or builder.nodes[-1].output[0] != name or builder.is_read(name):
        builder.emit("Identity", [name])
    return builder.rename_last(builder.tensor(place).name or "output")


def _words(builder: OnnxBuilder, value: Value) -> str:
    """Signs packed in words of 32 bits, as the file has them."""
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
