"""The input and the outputs of a TFLite network, as the file has them but with a free batch."""

from math import prod

import numpy as np
import onnx
from onnx import helper

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.lce_operators import as_real
from bnnkit.runtime.from_tflite.numbers import QUANTIZED, scale_of
from bnnkit.runtime.from_tflite.values import WORD_BITS, Kind, Value, axis_of, n_words
from bnnkit.tflite.network import DTYPES, Tensor
from bnnkit.tflite.schema import TensorType

_BATCH = "N"
_OUTPUT_NODES = 3
"""That make an output of a value, at most."""
_WORD_NODES = 9
"""That make words of signs; some of their results are of 64 bits."""


def give_input(draft: Draft, place: int) -> onnx.ValueInfoProto:
    """The input, which becomes a value of the artifact.

    Raises:
        UnsupportedError: It has a type that no operator takes.
    """
    tensor, name = draft.tensor(place), draft.unique(draft.tensor(place).name or "input")
    given = _info(name, tensor)
    inner = draft.to_nchw(name, len(tensor.shape))
    kind: Kind = "plain"
    scale = 1.0
    if tensor.type == TensorType.FLOAT32:
        kind = "real"
    elif tensor.type in QUANTIZED and tensor.quantization is not None:
        kind = "quantized"
        scale, zero_point = scale_of(tensor)
        inner = draft.emit("Cast", [inner], to=onnx.TensorProto.FLOAT)
        inner = draft.emit("Sub", [inner, draft.constant(zero_point)])
    elif tensor.type not in (*QUANTIZED, TensorType.INT32):
        raise UnsupportedError(f"expected an input of float32 or bytes, got {tensor.type.name}")
    draft.give_input(place, Value(name=inner, kind=kind, shape=tensor.shape, scale=scale))
    return given


def give_output(draft: Draft, place: int) -> onnx.ValueInfoProto:
    """An output, in the file's own type and layout."""
    value, tensor = draft.given(place), draft.tensor(place)
    draft.budget.spend_values(prod(value.shape[1:]), _OUTPUT_NODES)
    name, rank = value.name, len(value.shape)
    if value.kind == "quantized":
        _, zero_point = scale_of(tensor)
        name = draft.emit("Add", [name, draft.constant(zero_point)])
        name = draft.emit("Cast", [name], to=_dtype(tensor))
    elif value.kind == "signs" and tensor.type == TensorType.BOOL:
        name = draft.emit("Cast", [name], to=_dtype(tensor))
    elif value.kind == "signs":
        return _info(_named(draft, place, _words(draft, value)), tensor)
    name = draft.to_nhwc(name, rank)
    return _info(_named(draft, place, name), tensor)


def _named(draft: Draft, place: int, name: str) -> str:
    """A value that is an output of the network, under the tensor's name if it is free."""
    if name in draft.named_outputs:
        draft.named_outputs.remove(name)  # a value is an output once
        return name
    if not draft.nodes or draft.nodes[-1].output[0] != name or draft.is_read(name):
        draft.emit("Identity", [name])
    return draft.rename_last(draft.tensor(place).name or "output")


def _words(draft: Draft, value: Value) -> str:
    """Signs packed in words of 32 bits, as the file has them."""
    *outer, channels = value.shape
    words, rank = n_words(channels), len(value.shape)
    draft.budget.spend_values(prod(outer[1:]) * words * WORD_BITS, _WORD_NODES)
    real = as_real(draft, value)
    widths = np.zeros((2, rank), np.int64)
    widths[1, axis_of(-1, rank)] = words * WORD_BITS - channels
    pads = draft.constant(widths.ravel(), np.int64)
    padded = draft.emit("Pad", [real, pads, draft.constant(1.0)])
    sizes = draft.constant([0, *outer[1:], words, WORD_BITS], np.int64)
    signs = draft.emit("Reshape", [draft.to_nhwc(padded, rank), sizes])
    negative = draft.emit("Relu", [draft.emit("Neg", [signs])])
    bits = draft.emit("Cast", [negative], to=onnx.TensorProto.INT64)
    weights = draft.constant(2 ** np.arange(WORD_BITS, dtype=np.int64), np.int64)
    products = draft.emit("Mul", [bits, weights])
    axes = draft.constant([-1], np.int64)
    sums = draft.emit("ReduceSum", [products, axes], keepdims=0)
    return draft.emit("Cast", [sums], to=onnx.TensorProto.INT32)


def _dtype(tensor: Tensor) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES[tensor.type])))


def _info(name: str, tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _dtype(tensor), [_BATCH, *tensor.shape[1:]])
