"""Folds operators whose inputs are all constant.

LCE's converter leaves such operators in a file if weights are large or computed from other
weights, as in XNOR-Net. `bnnkit.artifact.standard` computes those that ONNX has too.
"""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.elementwise import BINARY, UNARY, fused_activation
from bnnkit.runtime.from_tflite.numbers import limits_of, real_constant
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.pooling import REDUCTIONS
from bnnkit.runtime.from_tflite.slicing import ranges_of
from bnnkit.runtime.from_tflite.values import WORD_BITS
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import PackOptions, ReducerOptions
from bnnkit.tflite.schema import DTYPES, Activation, Builtin, TensorType

Array = NDArray[Any]

_BINARY = (Builtin.ADD, Builtin.SUB, Builtin.MUL, Builtin.DIV)
_REDUCTIONS = (Builtin.MEAN, Builtin.SUM)
_UNARY: dict[Builtin, Callable[[Array], Array]] = {
    **{
        code: partial(STANDARD_OPERATORS[UNARY[code]], {})
        for code in (Builtin.ABS, Builtin.NEG, Builtin.SQRT, Builtin.SIGN, Builtin.RELU)
    },
    Builtin.RELU6: lambda x: np.clip(x, *limits_of(Activation.RELU6)),
    Builtin.RELU_N1_TO_1: lambda x: np.clip(x, *limits_of(Activation.RELU_N1_TO_1)),
    Builtin.DEQUANTIZE: lambda x: x,
}


def fold(builder: OnnxBuilder, operator: Operator) -> bool:
    """Compute an operator if its inputs are constant.

    Returns:
        Whether they were, so that nothing is left to translate.

    Raises:
        ArtifactError: The result has another shape than the file says, or is too large.
        UnsupportedError: The result would have to be rounded, or has another type.
    """
    function = FOLDS.get(operator.code)
    places = [place for place in operator.inputs if place >= 0]
    is_constant = all(builder.is_constant(place) for place in places)
    if function is None or not (is_constant or operator.code == Builtin.SHAPE):
        return False
    if not places or len(operator.outputs) != 1 or len(places) != len(operator.inputs):
        return False
    tensor = builder.tensor(operator.output)
    if tensor.type != TensorType.FLOAT32 and operator.code in _REAL:
        raise UnsupportedError("expected a float32 result of constants")
    if operator.code in _BINARY and _is_scaled(builder, operator):
        raise UnsupportedError("expected constants without a scale, or a float32 result")
    builder.budget.spend_constants(prod(tensor.shape) * np.dtype(DTYPES[tensor.type]).itemsize)
    result = np.asarray(function(builder, operator))
    if result.shape != tensor.shape:
        raise ArtifactError(f"expected a constant of shape {result.shape}, got {tensor.shape}")
    builder.fold(operator.output, np.array(result, DTYPES[tensor.type], order="C"))
    return True


def _is_scaled(builder: OnnxBuilder, operator: Operator) -> bool:
    """Whether the result is integers and has or depends on a scale, so that it is rounded."""
    tensors = [builder.tensor(place) for place in (*operator.inputs, operator.output)]
    is_real = builder.tensor(operator.output).type == TensorType.FLOAT32
    return not is_real and any(tensor.quantization is not None for tensor in tensors)


def _input(builder: OnnxBuilder, operator: Operator, index: int = 0) -> Array:
    """A constant input as real numbers."""
    builder.constant_of(operator, index)
    return real_constant(builder, operator.inputs[index])


def _operand(builder: OnnxBuilder, operator: Operator, index: int) -> Array:
    """A constant input as real numbers, or as integers if they have no scale, as sizes do."""
    array, tensor = builder.constant_of(operator, index), builder.tensor(operator.inputs[index])
    if array.dtype.kind == "i" and tensor.quantization is None:
        if operator.code == Builtin.DIV:
            raise UnsupportedError(f"expected real numbers to divide, got {array.dtype}")
        return array
    return real_constant(builder, operator.inputs[index])


def _unary(builder: OnnxBuilder, operator: Operator) -> Array:
    return _UNARY[operator.builtin](_input(builder, operator))


def _binary(builder: OnnxBuilder, operator: Operator) -> Array:
    operands = [_operand(builder, operator, index) for index in range(2)]
    target = builder.tensor(operator.output).shape
    try:
        shape = np.broadcast_shapes(*(array.shape for array in operands))
    except ValueError as error:
        raise ArtifactError("the shapes of the constants do not broadcast") from error
    if shape != target:
        raise ArtifactError(f"expected a constant of shape {shape}, got {target}")
    result = STANDARD_OPERATORS[BINARY[operator.builtin]]({}, *operands)
    activation = fused_activation(operator)
    if activation == Activation.NONE:
        return result
    return np.clip(result, *limits_of(activation))


def _reduced(builder: OnnxBuilder, operator: Operator) -> Array:
    array, axes = (
        _input(builder, operator),
        builder.whole_numbers(operator, 1).reshape(-1).tolist(),
    )
    if any(not -array.ndim <= axis < array.ndim for axis in axes):
        raise ArtifactError(f"the axes {axes} do not fit the shape {array.shape}")
    attributes = {
        "axes": {axis % array.ndim for axis in axes},
        "keepdims": operator.options_as(ReducerOptions).keep_dims,
    }
    return STANDARD_OPERATORS[REDUCTIONS[operator.builtin]](attributes, array)


def _transposed(builder: OnnxBuilder, operator: Operator) -> Array:
    array = builder.constant_of(operator, 0)
    perm = builder.whole_numbers(operator, 1).reshape(-1).tolist()
    if sorted(perm) != list(range(array.ndim)):
        raise ArtifactError(f"expected the axes of {array.shape}, got {perm}")
    return array.transpose(perm)


def _reshaped(builder: OnnxBuilder, operator: Operator) -> Array:
    array, shape = builder.constant_of(operator, 0), builder.tensor(operator.output).shape
    if array.size != prod(shape):
        raise ArtifactError(f"the shape {array.shape} does not become {shape}")
    return array.reshape(shape)


def _words(builder: OnnxBuilder, operator: Operator) -> Array:
    """LceQuantize: signs packed in words."""
    array = _input(builder, operator)
    if array.ndim == 0:
        raise ArtifactError("expected numbers with an axis of channels")
    room = [(0, 0)] * (array.ndim - 1) + [(0, -array.shape[-1] % WORD_BITS)]
    return np.packbits(np.pad(array < 0, room), axis=-1, bitorder="little").view("<i4")


def _signs(builder: OnnxBuilder, operator: Operator) -> Array:
    """LceDequantize: packed signs as float32."""
    words, shape = builder.constant_of(operator, 0), builder.tensor(operator.output).shape
    if words.dtype != np.int32 or words.ndim == 0 or not shape:
        raise ArtifactError("expected packed signs")
    as_bytes = np.ascontiguousarray(words.astype("<i4", copy=False)).view(np.uint8)
    bits = np.unpackbits(as_bytes, axis=-1, count=shape[-1], bitorder="little")
    return np.float32(1) - np.float32(2) * bits


def _shape(builder: OnnxBuilder, operator: Operator) -> Array:
    return np.array(builder.tensor(operator.inputs[0]).shape, np.int64)


def _filled(builder: OnnxBuilder, operator: Operator) -> Array:
    number = builder.constant_of(operator, 1).reshape(-1)
    if number.size != 1:
        raise ArtifactError(f"expected one number to fill with, got {number.size}")
    return np.full(builder.tensor(operator.output).shape, number[0])


def _packed(builder: OnnxBuilder, operator: Operator) -> Array:
    arrays = [builder.constant_of(operator, index) for index in range(len(operator.inputs))]
    axis, rank = operator.options_as(PackOptions).axis, arrays[0].ndim + 1
    if len({array.shape for array in arrays}) != 1 or not -rank <= axis < rank:
        raise ArtifactError("expected constants of the same shape")
    return np.stack(arrays, axis=axis)


def _cut(builder: OnnxBuilder, operator: Operator) -> Array:
    """STRIDED_SLICE."""
    array = builder.constant_of(operator, 0)
    cuts = [
        slice(start, None if end < 0 else end, step)
        for start, end, step in ranges_of(builder, operator, array.shape)
    ]
    shape, cut = builder.tensor(operator.output).shape, array[tuple(cuts)]
    if cut.size != prod(shape):
        raise ArtifactError(f"expected a slice of shape {shape}, got {cut.shape}")
    return cut.reshape(shape)


_Fold = Callable[[OnnxBuilder, Operator], Array]
FOLDS: dict[Builtin | str, _Fold] = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(_REDUCTIONS, _reduced),
    Builtin.TRANSPOSE: _transposed,
    Builtin.RESHAPE: _reshaped,
    Builtin.SQUEEZE: _reshaped,
    Builtin.EXPAND_DIMS: _reshaped,
    Builtin.SHAPE: _shape,
    Builtin.FILL: _filled,
    Builtin.PACK: _packed,
    Builtin.STRIDED_SLICE: _cut,
    Builtin.CAST: lambda builder, operator: builder.constant_of(operator, 0),
    "LceQuantize": _words,
    "LceDequantize": _signs,
}
_REAL = _UNARY.keys() | set(_REDUCTIONS) | {"LceDequantize"}
"""Operators whose results are real numbers. Those of _BINARY also compute shapes."""
