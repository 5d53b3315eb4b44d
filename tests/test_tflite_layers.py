"""All other layers in TFLite, in LCE's three kernels."""

import re
from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder, digits_like
from onnx import TensorProto
from tflite_runs import (
    assert_equal_in_tflite,
    needs_lce,
    normal,
    pixels,
)

from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.export.tflite import to_tflite

pytestmark = needs_lce


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 64, 65])
@pytest.mark.parametrize("height", [1, 3])
def test_dense_layers_on_flattened_maps(channels: int, height: int) -> None:
    a = ArtifactBuilder(channels)
    n = channels * height * 2
    flat = a.add("Flatten", a.sign("x"))
    hidden = a.threshold(a.binary_linear(flat, n, 65), a.rng.integers(-9, 9, 65))
    sums = a.binary_linear(hidden, 65, 10)
    scores = a.gemm(a.to_real(flat), n, 10)
    model = a.artifact((channels, height, 2), hidden, sums, scores)
    assert_equal_in_tflite(model, normal((7, channels, height, 2)))


def test_dense_layers_on_vectors() -> None:
    a = ArtifactBuilder()
    signs = a.sign(a.gemm("x", 12, 70))
    hidden = a.threshold(a.binary_linear(signs, 70, 33), a.rng.integers(-9, 9, 33))
    assert_equal_in_tflite(a.artifact((12,), a.gemm(a.to_real(hidden), 33, 4)), normal((3, 12)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "pad"), [(3, 1), (3, 0), (5, 2), (1, 0)])
def test_integer_convolution(kernel: int, pad: int, stride: int) -> None:
    a = ArtifactBuilder(kernel)
    sums = a.integer_conv2d("x", 3, 40, kernel, pad=pad, stride=stride)
    shared = a.threshold(sums, a.rng.integers(-40000, 40000, (40, 1, 1)))
    fused = a.integer_conv2d("x", 3, 40, kernel, pad=pad, stride=stride)
    signs = a.threshold(fused, a.rng.integers(-40000, 40000, (40, 1, 1)))
    model = a.artifact((3, 8, 7), sums, shared, signs, dtype=TensorProto.UINT8)
    assert_equal_in_tflite(model, pixels((2, 3, 8, 7)))


def test_an_integer_layer_that_fills_its_range_keeps_its_threshold_apart() -> None:
    """A bias of 2^23 beside sums of almost 2^24 would be rounded."""
    a = ArtifactBuilder()
    sums = a.integer_conv2d("x", 3, 4, 3)
    wide = a.constant(np.full((4, 3, 3, 3), 2047, np.int16))
    a.nodes[0].input[1] = wide
    far = a.constant(np.zeros((3, 1, 1), np.uint8))
    a.nodes[0].input[2] = far
    signs = a.threshold(sums, np.array([[[8388609]], [[3]], [[-8388609]], [[14093595]]]))
    model = a.artifact((3, 6, 6), signs, dtype=TensorProto.UINT8)
    assert to_tflite(model).report.operators["ADD"] == 1
    images = pixels((4, 3, 6, 6))
    images[0] = 255
    assert_equal_in_tflite(model, images)


def test_integer_linear_on_an_image() -> None:
    a = ArtifactBuilder()
    flat = a.add("Flatten", "x")
    weight = a.constant(a.rng.integers(-99, 100, (70, 60)).astype(np.int16))
    zero_point = a.constant(a.rng.integers(0, 256, 60).astype(np.uint8))
    sums = a.add("bnnkit.IntegerLinear", flat, weight, zero_point)
    signs = a.threshold(sums, a.rng.integers(-4000, 4000, 70))
    other = a.add("bnnkit.IntegerLinear", flat, weight, zero_point)
    model = a.artifact((3, 4, 5), signs, other, dtype=TensorProto.UINT8)
    assert_equal_in_tflite(model, pixels((2, 3, 4, 5)))


def test_a_vector_of_one_beside_a_constant_of_many() -> None:
    a = ArtifactBuilder()
    axes = a.constant(np.array([1, 2, 3]))
    mean = a.add("Flatten", a.add("ReduceMean", "x", axes, keepdims=1))
    row = a.constant(a.rng.standard_normal(10).astype(np.float32))
    spread = [a.add("Add", mean, row), a.add("Sub", row, mean), a.add("Add", mean, mean)]
    spread.append(a.add("Mul", spread[0], mean))
    assert_equal_in_tflite(a.artifact((5, 4, 4), *spread), normal((2, 5, 4, 4)))


def test_a_flattened_map_beside_a_column() -> None:
    a = ArtifactBuilder()
    flat = a.add("Flatten", "x")
    column = a.gemm(flat, 30, 1)
    assert_equal_in_tflite(a.artifact((5, 2, 3), a.add("Add", flat, column)), normal((2, 5, 2, 3)))


def test_squeeze_without_axes() -> None:
    a = ArtifactBuilder()
    mean = a.add("GlobalAveragePool", "x")
    squeezed = a.add("Squeeze", mean)
    assert_equal_in_tflite(a.artifact((5, 2, 3), a.gemm(squeezed, 5, 3)), normal((2, 5, 2, 3)))


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
def test_arithmetic(kind: str) -> None:
    a = ArtifactBuilder()
    channels = a.constant(a.rng.uniform(1, 2, (5, 1, 1)).astype(np.float32))
    number = a.constant(np.float32(3))
    mean = a.add("GlobalMaxPool", "x")
    outputs = [
        a.add(kind, "x", channels),
        a.add(kind, channels, "x"),
        a.add(kind, "x", number),
        a.add(kind, "x", a.add("Abs", "x")),
        a.add(kind, "x", mean),
    ]
    flat = a.add("Flatten", outputs[0])
    row = a.constant(a.rng.uniform(1, 2, 5 * 2 * 3).astype(np.float32))
    outputs.append(a.add(kind, flat, row))
    signs = [a.sign(name) for name in outputs]
    assert_equal_in_tflite(a.artifact((5, 2, 3), *outputs, *signs), normal((2, 5, 2, 3)))


@pytest.mark.parametrize(
    "kind", ["Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Abs", "HardSwish", "LeakyRelu", "Softmax"]
)
def test_functions(kind: str) -> None:
    a = ArtifactBuilder()
    attributes = {"axis": 1} if kind == "Softmax" else {}
    assert_equal_in_tflite(
        a.artifact((5, 2, 3), a.add(kind, "x", **attributes)), normal((2, 5, 2, 3))
    )


def test_leaky_functions_of_channels() -> None:
    a = ArtifactBuilder()
    slope = a.constant(a.rng.uniform(-1, 1, (5, 1, 1)).astype(np.float32))
    leaky = a.add("PRelu", "x", slope)
    norm = [a.constant(a.rng.uniform(1, 2, 5).astype(np.float32)) for _ in range(4)]
    normed = a.add("BatchNormalization", leaky, *norm)
    model = a.artifact((5, 2, 3), leaky, a.sign(leaky), normed)
    assert_equal_in_tflite(model, normal((2, 5, 2, 3)))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (5, 1, 1), (5, 2, 3), (1, 2, 3)])
def test_slopes_of_maps(shape: tuple[int, ...]) -> None:
    """XNNPACK reads a slope for each channel, however many there are."""
    a = ArtifactBuilder()
    slope = a.constant(a.rng.uniform(0.1, 0.9, shape).astype(np.float32))
    hidden = a.add("PRelu", "x", slope)
    weight = a.constant(a.rng.standard_normal((3, 5, 1, 1)).astype(np.float32))
    model = a.artifact((5, 2, 3), hidden, a.add("Conv", hidden, weight, kernel_shape=[1, 1]))
    assert_equal_in_tflite(model, normal((2, 5, 2, 3)))


@pytest.mark.parametrize("shape", [(1,), (30,)])
def test_slopes_of_vectors(shape: tuple[int, ...]) -> None:
    a = ArtifactBuilder()
    slope = a.constant(a.rng.uniform(0.1, 0.9, shape).astype(np.float32))
    flat = a.add("Flatten", "x")
    outputs = [a.add("PRelu", values, slope) for values in (flat, a.gemm(flat, 30, 30))]
    assert_equal_in_tflite(a.artifact((5, 2, 3), *outputs), normal((2, 5, 2, 3)))


def test_scores_of_vectors() -> None:
    a = ArtifactBuilder()
    scores = a.gemm("x", 6, 4)
    outputs = [a.add(kind, scores, axis=1) for kind in ("Softmax", "LogSoftmax")]
    low, high = a.constant(np.float32(-1)), a.constant(np.float32(0.5))
    outputs.append(a.add("Clip", scores, low, high))
    assert_equal_in_tflite(a.artifact((6,), *outputs), normal((3, 6)))


def test_shapes() -> None:
    a = ArtifactBuilder()
    signs = a.sign("x")
    outputs = [
        a.add("Flatten", "x"),
        a.add("Reshape", "x", a.constant(np.array([0, 2, -1, 2]))),
        a.add("Concat", "x", a.add("Neg", "x"), axis=1),
        a.add("Concat", "x", "x", axis=3),
        a.add("Concat", signs, signs, axis=1),
        a.add("Squeeze", a.add("GlobalAveragePool", "x"), a.constant(np.array([2, 3]))),
        a.add("Flatten", signs),
    ]
    outputs.append(a.add("Unsqueeze", outputs[-2], a.constant(np.array([2, 3]))))
    assert_equal_in_tflite(a.artifact((32, 3, 2), *outputs), normal((2, 32, 3, 2)))


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_float_convolution_of_binary_weights(groups: int) -> None:
    a = ArtifactBuilder()
    packed = a.rng.integers(0, 256, -(-12 * 9 * 6 // groups // 8), np.uint8)
    shape = (12, 3, 3, 6 // groups)
    weight = a.add("bnnkit.BinaryWeight", a.constant(packed), weight_shape=shape)
    bias = a.constant(a.rng.standard_normal(12).astype(np.float32))
    form = {"group": groups, "strides": [2, 2], "pads": [1, 1, 1, 1]}
    assert_equal_in_tflite(
        a.artifact((6, 6, 6), a.add("Conv", "x", weight, bias, **form)), normal((2, 6, 6, 6))
    )


def test_minus_zero_is_plus_one() -> None:
    a = ArtifactBuilder()
    zero = a.constant(np.zeros((3, 1, 1), np.float32))
    model = a.artifact((3, 2, 2), a.sign(a.add("Mul", "x", zero)))
    assert [choice.form for choice in to_tflite(model).report.choices] == [
        "ADD of 0 + LceQuantize"
    ]
    assert_equal_in_tflite(model, normal((2, 3, 2, 2)))


def test_a_whole_small_network() -> None:
    assert_equal_in_tflite(*digits_like())


def test_what_has_no_form_is_named() -> None:
    a = ArtifactBuilder()
    model = a.artifact((3, 4, 4), a.add("Asinh", "x"))
    with pytest.raises(UnsupportedError, match="Asinh0: TFLite export lacks Asinh"):
        to_tflite(model)
    with pytest.raises(UsageError, match="at least 1 image"):
        to_tflite(model, batch=0)


def _refused(a: ArtifactBuilder, kind: str, *inputs: str, **attributes: Any) -> str:
    """What the exporter says of a node behind a map (3, 4, 4)."""
    with pytest.raises(UnsupportedError) as error:
        to_tflite(a.artifact((3, 4, 4), a.add(kind, *inputs, **attributes)))
    return str(error.value)


def test_what_is_refused_is_named_once() -> None:
    a = ArtifactBuilder()
    row = a.constant(np.zeros((2, 3, 4, 4), np.float32))
    said = [
        _refused(a, "AveragePool", "x", kernel_shape=[2, 2], dilations=[2, 2]),
        _refused(a, "Add", "x", row),
        _refused(a, "Conv", "x", "x"),
        _refused(a, "Concat", "x", a.sign("x"), axis=1),
        _refused(a, "Cast", a.sign("x"), to=TensorProto.FLOAT),
        _refused(a, "MatMul", "x", a.constant(np.zeros((4, 4), np.float32))),
        _refused(a, "ReduceMean", "x", a.constant(np.array([0]))),
        _refused(a, "Relu", a.sign("x")),
        _refused(a, "Softmax", "x", axis=3),
        _refused(a, "bnnkit.Sign", a.add("Reshape", "x", a.constant(np.array([0, 3, 16])))),
    ]
    for message in said:
        assert re.match(r"(\w+)\d+ \((bnnkit\.)?\1\): \w", message), message
        assert message.count(message.split()[0]) == 1, message
