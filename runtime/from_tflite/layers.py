"""Convolutions and dense layers of float32 and of quantized numbers.

A quantized layer is computed on whole numbers, which float32 holds exactly, and its sums are
scaled as TensorFlow Lite scales them. It multiplies by fixed-point numbers of 31 bits, so where a
product lies very near a half the two may differ by one.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.numbers import (
    give_real,
    give_whole,
    halves_up,
    limits_of,
    real_constant,
    scale_of,
)
from bnnkit.runtime.from_tflite.values import Shape, Value
from bnnkit.runtime.from_tflite.window import Window, padding_of
from bnnkit.tflite.network import Operator
from bnnkit.tflite.read_options import Options
from bnnkit.tflite.schema import Activation, TensorType

Array = NDArray[Any]

_CONV_2D, _DEPTHWISE, _FULLY_CONNECTED = 1, 2, 8


def conv_2d(draft: Draft, operator: Operator) -> None:
    """CONV_2D: filter (O, KH, KW, I / G)."""
    options = Options(operator, _CONV_2D)
    dilations = (options.whole(5, 1), options.whole(4, 1))
    weight, scales = weight_of(draft, operator, 0, rank=4)
    _convolution(draft, operator, weight, scales, options, 3, dilations)


def depthwise_conv_2d(draft: Draft, operator: Operator) -> None:
    """DEPTHWISE_CONV_2D: filter (1, KH, KW, O), output o looks at input o div (O / I)."""
    options = Options(operator, _DEPTHWISE)
    dilations = (options.whole(6, 1), options.whole(5, 1))
    weight, scales = weight_of(draft, operator, 3, rank=4)
    if weight.shape[0] != 1:
        raise ArtifactError(f"expected a filter (1, KH, KW, O), got {weight.shape}")
    weight = weight.transpose(3, 1, 2, 0)
    _convolution(draft, operator, weight, scales, options, 4, dilations)


def _convolution(
    draft: Draft,
    operator: Operator,
    weight: Array,
    scales: Array,
    options: Options,
    activation_slot: int,
    dilations: tuple[int, int],
) -> None:
    """A convolution with weights (O, KH, KW, I / G)."""
    value = layer_input(draft, operator)
    if len(value.shape) != 4:
        raise UnsupportedError(f"expected a map (N, H, W, C), got the shape {value.shape}")
    batch, height, width, channels = value.shape
    outputs, rows, columns, inputs = weight.shape
    groups = channels // inputs
    if groups < 1 or groups * inputs != channels or outputs % groups:
        raise ArtifactError(f"the filter {weight.shape} does not fit {channels} input channels")
    window = Window(
        kernel=(rows, columns),
        strides=(options.whole(2), options.whole(1)),
        dilations=dilations,
        padding=padding_of(options.byte(0)),
    )
    window.spend(draft.budget, value.shape, weight.size)
    constant = draft.constant(weight.transpose(0, 3, 1, 2))
    bias = bias_of(draft, operator, outputs)
    name = draft.emit(
        "Conv",
        [value.name, constant, *([] if bias is None else [draft.constant(bias)])],
        **window.attributes((height, width)),
        dilations=list(dilations),
        group=groups,
    )
    shape = (batch, *window.output((height, width)), outputs)
    finish(draft, operator, name, shape, options.byte(activation_slot), value, scales)


def fully_connected(draft: Draft, operator: Operator) -> None:
    """FULLY_CONNECTED: weights (O, I) on vectors, or on each pixel of a map."""
    options = Options(operator, _FULLY_CONNECTED)
    if options.byte(1):
        raise UnsupportedError("expected weights in the default format")
    value = layer_input(draft, operator)
    weight, scales = weight_of(draft, operator, 0, rank=2)
    outputs, inputs = weight.shape
    bias = bias_of(draft, operator, outputs)
    bias = np.zeros(outputs, np.float32) if bias is None else bias
    if value.is_map and value.shape[3] == inputs and prod(value.shape[1:3]) > 1:
        if not options.byte(2):
            raise UnsupportedError(f"the input {value.shape} would mix pixels with the batch")
        draft.budget.spend_work(prod(value.shape[1:3]) * weight.size)
        weight, shape = weight[:, :, None, None], (*value.shape[:3], outputs)
        name = draft.emit("Conv", [value.name, draft.constant(weight), draft.constant(bias)])
    elif len(value.shape) == 3 and value.shape[2] == inputs and value.shape[1] > 1:
        if not options.byte(2):
            raise UnsupportedError(f"the input {value.shape} would mix vectors with the batch")
        draft.budget.spend_work(value.shape[1] * weight.size)
        shape = (*value.shape[:2], outputs)
        name = draft.emit("MatMul", [value.name, draft.constant(weight.T)])
        name = draft.emit("Add", [name, draft.constant(bias)])
    else:
        if prod(value.shape[1:]) != inputs:
            raise UnsupportedError(f"weights {weight.shape} do not fit the input {value.shape}")
        ones = (1,) * (len(value.shape) - 2) if options.byte(2) else ()
        shape = (value.shape[0], *ones, outputs)
        flat = draft.emit("Flatten", [draft.in_file_order(value)])
        name = draft.emit("Gemm", [flat, draft.constant(weight), draft.constant(bias)], transB=1)
        if ones:
            axes = draft.constant(np.arange(len(ones)) + 2, np.int64)
            name = draft.emit("Unsqueeze", [name, axes])
            if len(ones) == 1:
                name = draft.emit("Transpose", [name], perm=[0, 2, 1])
    finish(draft, operator, name, shape, options.byte(0), value, scales)


def layer_input(draft: Draft, operator: Operator) -> Value:
    """What a layer reads.

    Raises:
        UnsupportedError: It is neither real nor quantized, or the output is the other of the two.
    """
    value = draft.value(operator)
    if value.kind not in ("real", "quantized"):
        raise UnsupportedError(f"expected float32, or numbers with a scale, got {value.kind}")
    is_float = draft.tensor(operator.output).type == TensorType.FLOAT32
    if is_float != (value.kind == "real"):
        raise UnsupportedError("expected input and output both float32, or both quantized")
    return value


def weight_of(draft: Draft, operator: Operator, axis: int, *, rank: int) -> tuple[Array, Array]:
    """Weights as whole numbers and their scales, (O,) or one; real ones have the scale 1.

    Args:
        draft: Has the constants.
        operator: Its second input is the weights.
        axis: Of the outputs.
        rank: How many axes there must be.

    Raises:
        ArtifactError: There are others, or none is left.
        UnsupportedError: They are computed, or their scales are of another kind.
    """
    place = operator.inputs[1] if draft.is_given(operator, 1) else -1
    array = draft.constant_of(operator, 1)
    if array.ndim != rank or 0 in array.shape:
        raise ArtifactError(f"expected weights of {rank} axes, got {array.shape}")
    if draft.value(operator).kind == "real":
        return real_constant(draft, place), np.ones(1)
    quantization = draft.tensor(place).quantization
    if array.dtype.kind not in "iu" or quantization is None:
        raise UnsupportedError("expected whole weights with a scale for a quantized input")
    if quantization.scale.size > 1 and quantization.axis != axis:
        raise UnsupportedError(f"expected scales along axis {axis}, got {quantization.axis}")
    if quantization.scale.size == 1 or not quantization.zero_point.any():
        centred = array.astype(np.float32) - quantization.zero_point[0]
        return centred.astype(np.float32), quantization.scale.astype(np.float64)
    raise UnsupportedError("expected weights with zero points of 0")


def bias_of(draft: Draft, operator: Operator, outputs: int) -> Array | None:
    """(O,), float32, or int32 in units of the sums; None where there is none."""
    if not draft.is_given(operator, 2):
        return None
    bias = draft.constant_of(operator, 2)
    if bias.size != outputs:
        raise ArtifactError(f"expected a bias for each of {outputs} channels, got {bias.shape}")
    return bias.reshape(-1).astype(np.float32)


def finish(
    draft: Draft,
    operator: Operator,
    name: str,
    shape: Shape,
    activation: int,
    value: Value,
    scales: Array,
    rounded: Callable[[Draft, str], str] = halves_up,
) -> None:
    """The sums of a layer become its output.

    Args:
        draft: Gets the nodes.
        operator: The layer.
        name: Of the sums.
        shape: Of the output.
        activation: That is fused.
        value: What the layer reads.
        scales: Of the weights, one or one for each channel.
        rounded: How the scaled sums of a quantized layer are rounded for the second time.
    """
    if value.kind == "real":
        give_real(draft, operator, name, shape, activation)
        return
    scale, _ = scale_of(draft.tensor(operator.output))
    factors = np.asarray(value.scale * scales / scale)
    column = factors.reshape(-1, *(1,) * (2 if len(shape) == 4 else 0))
    whole = _scaled(draft, name, column, rounded)
    clip = None
    if activation != Activation.NONE:
        low, high = limits_of(activation)
        clip = (np.rint(low / scale), np.inf if high is None else float(np.rint(high / scale)))
    give_whole(draft, operator, whole, shape, clip)


def _scaled(draft: Draft, name: str, factors: Array, rounded: Callable[[Draft, str], str]) -> str:
    """Whole sums times factors, rounded twice as TensorFlow Lite's layers are.

    A factor is m 2^e with m in [1/2, 1). The product with m is rounded, and once more when it is
    shifted by e; where e is positive the sum is shifted before, and nothing is rounded again.
    """
    mantissas, exponents = np.frexp(factors)
    before, behind = np.maximum(exponents, 0), np.minimum(exponents, 0)
    name = draft.emit("Mul", [name, draft.constant(np.ldexp(mantissas, before))])
    name = halves_up(draft, name)
    if not behind.any():
        return name
    return rounded(draft, draft.emit("Mul", [name, draft.constant(np.ldexp(1.0, behind))]))
