"""What convolutions and dense layers share: input, weights, bias, and output from sums.

A quantized layer is computed on integers, which float32 holds exactly, and its sums are scaled as
in TensorFlow Lite. As TensorFlow Lite multiplies by fixed-point numbers of 31 bits, results may
differ by one if a product is very close to a half.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.numbers import (
    give_real,
    give_whole,
    halves_up,
    limits_of,
    real_constant,
    scale_of,
)
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import OnnxValue, Shape
from bnnkit.tflite.network import Operator
from bnnkit.tflite.schema import Activation, TensorType

Array = NDArray[Any]


def layer_input(builder: OnnxBuilder, operator: Operator) -> OnnxValue:
    """The input of a layer.

    Raises:
        UnsupportedError: Input and output are not both real or both quantized.
    """
    value = builder.value(operator)
    if value.kind not in ("real", "quantized"):
        raise UnsupportedError(f"expected float32, or numbers with a scale, got {value.kind}")
    is_float = builder.tensor(operator.output).type == TensorType.FLOAT32
    if is_float != (value.kind == "real"):
        output = "float32" if is_float else "quantized"
        raise UnsupportedError(
            "expected input and output both float32, or both quantized; "
            f"got a {value.kind} input and a {output} output"
        )
    return value


def weight_of(
    builder: OnnxBuilder, operator: Operator, axis: int, *, rank: int
) -> tuple[Array, Array]:
    """Weights as float32, and their scales.

    Args:
        builder: Has the constants.
        operator: Its second input is the weights.
        axis: The axis of the outputs.
        rank: The number of axes that the weights must have.

    Returns:
        The weights, as integers if they are quantized, and one scale or one for each output. Real
        weights have the scale 1.

    Raises:
        ArtifactError: The weights have another number of axes, or are empty.
        UnsupportedError: The weights are computed, or have scales along another axis or varying
            zero points.
    """
    place = operator.inputs[1] if builder.is_given(operator, 1) else -1
    array = builder.constant_of(operator, 1)
    if array.ndim != rank or 0 in array.shape:
        raise ArtifactError(f"expected weights of {rank} axes, got {array.shape}")
    if builder.value(operator).kind == "real":
        return real_constant(builder, place), np.ones(1)
    quantization = builder.tensor(place).quantization
    if array.dtype.kind not in "iu" or quantization is None:
        raise UnsupportedError("expected integer weights with a scale for a quantized input")
    if len(quantization.scale) > 1 and quantization.axis != axis:
        raise UnsupportedError(f"expected scales along axis {axis}, got {quantization.axis}")
    if len(quantization.scale) == 1 or not any(quantization.zero_point):
        centred = array.astype(np.float32) - quantization.zero_point[0]
        return centred.astype(np.float32), np.array(quantization.scale)
    raise UnsupportedError("expected weights with zero points of 0")


def bias_of(builder: OnnxBuilder, operator: Operator, outputs: int) -> Array | None:
    """The bias (O,) as float32, in units of the sums; None if there is none."""
    if not builder.is_given(operator, 2):
        return None
    bias = builder.constant_of(operator, 2)
    if bias.size != outputs:
        raise ArtifactError(f"expected a bias for each of {outputs} channels, got {bias.shape}")
    return bias.reshape(-1).astype(np.float32)


def give_sums(
    builder: OnnxBuilder,
    operator: Operator,
    name: str,
    shape: Shape,
    activation: Activation,
    value: OnnxValue,
    scales: Array,
    rounded: Callable[[OnnxBuilder, str], str] = halves_up,
) -> None:
    """Make the output of a layer from its sums.

    Args:
        builder: Gets the nodes.
        operator: The layer.
        name: Name of the sums.
        shape: Shape of the output.
        activation: The fused activation.
        value: The input of the layer.
        scales: Scales of the weights, one or one for each channel.
        rounded: Rounds the scaled sums of a quantized layer for the second time.
    """
    if value.kind == "real":
        give_real(builder, operator, name, shape, activation)
        return
    scale, _ = scale_of(builder.tensor(operator.output))
    factors = np.asarray(value.scale * scales / scale)
    column = factors.reshape(-1, *(1,) * (2 if len(shape) == 4 else 0))
    whole = _scaled(builder, name, column, rounded)
    clip = None
    if activation != Activation.NONE:
        low, high = limits_of(activation)
        clip = (np.rint(low / scale), np.inf if high is None else float(np.rint(high / scale)))
    give_whole(builder, operator, whole, shape, clip)


def _scaled(
    builder: OnnxBuilder, name: str, factors: Array, rounded: Callable[[OnnxBuilder, str], str]
) -> str:
    """Multiply integer sums by factors, rounding twice as TensorFlow Lite's layers do.

    A factor is m 2^e with m in [1/2, 1). The product with m is rounded, and is rounded again when
    it is shifted by e. If e is positive, the sum is shifted first and only rounded once.
    """
    mantissas, exponents = np.frexp(factors)
    before, after = np.maximum(exponents, 0), np.minimum(exponents, 0)
    name = builder.emit("Mul", [name, builder.constant(np.ldexp(mantissas, before))])
    name = halves_up(builder, name)
    if not after.any():
        return name
    return rounded(builder, builder.emit("Mul", [name, builder.constant(np.ldexp(1.0, after))]))
