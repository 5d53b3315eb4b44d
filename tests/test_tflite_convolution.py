"""Binary convolutions in TFLite: every shape and padding, in LCE's three kernels."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder
from grids import grid
from onnx import numpy_helper
from tflite_runs import assert_equal_in_tflite, needs_lce, normal

from bnnkit.export.tflite import to_tflite

pytestmark = needs_lce

CHANNELS = [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200]


@grid("channels, kernel", CHANNELS, [1, 2, 3, 5])
def test_channels_kernels_strides_and_paddings(channels: int, kernel: int) -> None:
    for stride in (1, 2):
        a = ArtifactBuilder(channels)
        signs = a.sign("x")
        pad = kernel // 2
        ones = a.pad_with_ones(signs, pad, pad, pad, pad) if pad else signs
        bits = a.binary_conv2d(ones, channels, 33, kernel, stride=stride)
        zeros = a.binary_conv2d(signs, channels, 7, kernel, stride=stride, pads=[pad] * 4)
        sums = a.binary_conv2d(signs, channels, 5, kernel, stride=stride, thresholds=False)
        model = a.artifact((channels, 6, 7), bits, zeros, sums)
        assert_equal_in_tflite(model, normal((2, channels, 6, 7)))


KERNELS = [(1, 1), (1, 3), (3, 1), (2, 5)]
STRIDES = [(2, 2), (1, 2), (2, 1), (3, 3)]


@grid("kernel, strides_and_groups", KERNELS, [*product(STRIDES, [(33, 1), (64, 2), (6, 6)])])
def test_rectangular_kernels_and_strides(
    kernel: tuple[int, int], strides_and_groups: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    """Where a window is smaller than the step to the next, XNNPACK errs with SAME."""
    strides, (channels, groups) = strides_and_groups
    around = (kernel[0] // 2, kernel[1] // 2) * 2
    a = ArtifactBuilder()
    signs = a.sign("x")
    ones, outputs = a.pad_with_ones(signs, *around), []
    for thresholds in (True, False):
        form: dict[str, Any] = {"groups": groups, "thresholds": thresholds}
        outputs.append(a.binary_conv2d(ones, channels, 6, kernel, **form))
        outputs.append(a.binary_conv2d(signs, channels, 6, kernel, pads=around, **form))
    shape = (2 * groups, channels // groups, *kernel)
    weight = a.constant(a.rng.standard_normal(shape).astype(np.float32))
    window = {"kernel_shape": kernel, "pads": around, "strides": (1, 1)}
    outputs.append(a.add("Conv", "x", weight, group=groups, **window))
    for node in a.nodes:
        for attribute in node.attribute:
            if attribute.name == "strides":
                attribute.ints[:] = strides
    assert_equal_in_tflite(a.artifact((channels, 6, 8), *outputs), normal((1, channels, 6, 8)))


@grid(
    "size, window",
    [(1, 1), (2, 2), (1, 4), (2, 5), (3, 3), (4, 1)],
    [(3, 1), (5, 1), (3, 2), (2, 1)],
)
def test_maps_around_the_size_of_the_kernel(
    size: tuple[int, int], window: tuple[int, int]
) -> None:
    kernel, dilation = window
    pad = dilation * (kernel - 1) // 2 + (kernel == 2)
    for thresholds in (True, False):
        for stride in (1, 2):
            a = ArtifactBuilder(kernel)
            signs = a.sign("x")
            ones = a.pad_with_ones(signs, pad, pad, pad, pad)
            form: dict[str, Any] = {"stride": stride, "dilation": dilation}
            form["thresholds"] = thresholds
            outputs = [
                a.binary_conv2d(ones, 34, 9, kernel, **form),
                a.binary_conv2d(signs, 34, 9, kernel, pads=[pad] * 4, **form),
            ]
            assert_equal_in_tflite(a.artifact((34, *size), *outputs), normal((2, 34, *size)))


@pytest.mark.parametrize("pads", [(0, 0, 1, 1), (1, 1, 0, 0), (2, 0, 0, 1), (2, 2, 2, 2)])
def test_pads_that_are_not_same(pads: tuple[int, int, int, int]) -> None:
    for stride in (1, 2):
        a = ArtifactBuilder()
        signs = a.sign("x")
        ones = a.binary_conv2d(a.pad_with_ones(signs, *pads), 40, 33, stride=stride)
        zeros = a.binary_conv2d(signs, 40, 33, stride=stride, pads=pads)
        assert_equal_in_tflite(a.artifact((40, 6, 5), ones, zeros), normal((1, 40, 6, 5)))


@pytest.mark.parametrize(
    ("inputs", "outputs", "groups"),
    [(64, 64, 2), (128, 96, 4), (64, 6, 2), (8, 8, 8), (6, 12, 6), (48, 30, 3), (66, 64, 2)],
)
def test_groups(inputs: int, outputs: int, groups: int) -> None:
    for thresholds in (True, False):
        a = ArtifactBuilder(groups)
        signs = a.sign("x")
        form: dict[str, Any] = {"groups": groups, "thresholds": thresholds}
        ones = a.binary_conv2d(a.pad_with_ones(signs, 1, 1, 1, 1), inputs, outputs, **form)
        zeros = a.binary_conv2d(signs, inputs, outputs, pads=(1, 1, 1, 1), stride=2, **form)
        assert_equal_in_tflite(a.artifact((inputs, 6, 6), ones, zeros), normal((2, inputs, 6, 6)))


def test_no_file_has_groups_or_wrong_zero_padding() -> None:
    """What LCE's kernels refuse or get wrong is not written: one form that all of them run."""
    a = ArtifactBuilder()
    signs = a.sign(a.add("Add", "x", a.constant(np.float32(1))))
    grouped = a.binary_conv2d(signs, 64, 64, groups=2)
    odd = a.binary_conv2d(a.binary_conv2d(signs, 64, 5), 5, 7, pads=(1, 1, 1, 1))
    small = a.binary_conv2d(signs, 64, 64, 5, pads=(2, 2, 2, 2))
    report = to_tflite(a.artifact((64, 4, 4), grouped, odd, small)).report
    assert [choice.form for choice in report.choices] == [
        "2 x LceBconv2d",
        "LceBconv2d padded with +1, and an ADD that subtracts their sums",
        "LceBconv2d padded with +1, and an ADD that subtracts their sums",
    ]
    assert [choice.extra_bytes for choice in report.choices] == [0, 2 * 2 * 7 * 4, 4 * 4 * 64 * 4]
    assert [choice.extra_operators for choice in report.choices] == [4, 2, 2]
    assert [choice.extra_activation_bytes for choice in report.choices] == [
        4 * 4 * 2 * 4 + 2 * 2 * 2 * 4,  # the slices, and the results before they are joined
        2 * 2 * 2 * 7 * 4,  # sums, twice
        2 * 4 * 4 * 64 * 4,
    ]


def test_what_choices_inside_of_others_cost_is_told_once() -> None:
    """Two groups with zero padding: each is a layer to float32, joined, then signs."""
    a = ArtifactBuilder()
    signs = a.sign("x")
    a.binary_conv2d(signs, 64, 80, pads=(1, 1, 1, 1), groups=2)
    report = to_tflite(a.artifact((64, 4, 4), a.nodes[-1].output[0])).report
    outer, *inner = [c for c in report.choices if c.layer == a.nodes[-1].output[0]]
    assert outer.form == "2 x LceBconv2d"
    assert inner == []
    assert report.operators == {
        "ADD": 1,
        "CONCATENATION": 1,
        "LceBconv2d": 2,
        "LceQuantize": 2,
        "STRIDED_SLICE": 2,
    }
    assert outer.extra_operators == 6 - 1
    sums = 4 * 4 * 80 * 4
    assert outer.extra_activation_bytes == 2 * 4 * 4 * 4 + 2 * sums


def test_what_a_choice_inside_of_another_costs_is_told_there() -> None:
    a = ArtifactBuilder()
    a.binary_conv2d(a.sign("x"), 64, 64, 5, pads=(2, 2, 2, 2), groups=2)
    report = to_tflite(a.artifact((64, 4, 4), a.nodes[-1].output[0])).report
    outer, *inner = [c for c in report.choices if c.layer == a.nodes[-1].output[0]]
    assert [c.extra_operators for c in (outer, *inner)] == [4, 2, 2]
    sums, packed = 4 * 4 * 32 * 4, 4 * 4 * 2 * 4
    assert [c.extra_activation_bytes for c in inner] == [2 * sums, 2 * sums]
    assert outer.extra_activation_bytes == 2 * packed


@pytest.mark.parametrize("batch", [1, 7])
def test_thresholds_at_their_limits(batch: int) -> None:
    """Never (K + 1), always (-K), and all between, of either parity."""
    a = ArtifactBuilder()
    signs = a.sign("x")
    bits = a.binary_conv2d(signs, 9, 85)
    zeros = a.binary_conv2d(signs, 9, 85, pads=(1, 1, 1, 1))
    for node in a.nodes[1:]:
        limits = np.linspace(-81, 82, 85).round().astype(np.int32)
        index = [constant.name for constant in a.constants].index(node.input[2])
        a.constants[index] = numpy_helper.from_array(limits, node.input[2])
    assert_equal_in_tflite(a.artifact((9, 5, 5), bits, zeros), normal((batch, 9, 5, 5)))


def test_a_margin_that_two_layers_share_is_written_once() -> None:
    a = ArtifactBuilder()
    padded = a.pad_with_ones(a.sign("x"), 1, 1, 1, 1)
    outputs = [a.binary_conv2d(padded, 32, 32, stride=2) for _ in range(2)]
    model = a.artifact((32, 6, 6), *outputs)
    report = to_tflite(model).report
    assert report.operators["PAD"] == 1
    costs = [(c.extra_operators, c.extra_activation_bytes) for c in report.choices[-2:]]
    assert costs == [(1, 8 * 8 * 4), (0, 0)]
    assert_equal_in_tflite(model, normal((1, 32, 6, 6)))


@pytest.mark.parametrize("channels", [32, 33])
@pytest.mark.parametrize("steps", [("Mul",), ("Add",), ("Mul", "Add")])
def test_scale_and_bias_of_a_zero_padded_layer(channels: int, steps: tuple[str, ...]) -> None:
    a = ArtifactBuilder(channels)
    sums = a.binary_conv2d(a.sign("x"), channels, 7, pads=(1, 1, 1, 1), thresholds=False)
    result = a.add("Cast", sums, to=1)
    for kind in steps:
        result = a.add(kind, result, a.constant(a.rng.standard_normal((7, 1, 1)).astype("f")))
    model = a.artifact((channels, 5, 6), result)
    assert "MUL" not in to_tflite(model).report.operators
    assert_equal_in_tflite(model, normal((2, channels, 5, 6)))


@pytest.mark.parametrize("shape", [(1, 1, 6), (1, 5, 6), (1, 5, 1)])
def test_a_scale_that_is_not_of_channels_stays_apart(shape: tuple[int, ...]) -> None:
    a = ArtifactBuilder()
    sums = a.binary_conv2d(a.sign("x"), 32, 6, 1, thresholds=False)
    scale = a.constant(a.rng.standard_normal(shape).astype("f"))
    model = a.artifact((32, 5, 6), a.add("Mul", a.add("Cast", sums, to=1), scale))
    assert to_tflite(model).report.operators["MUL"] == 1
    assert_equal_in_tflite(model, normal((2, 32, 5, 6)))


def test_a_scale_goes_into_a_layer_only_where_no_sign_depends_on_it() -> None:
    a = ArtifactBuilder()
    first = a.binary_conv2d(a.sign("x"), 32, 32, thresholds=False)
    scale, bias = (a.constant(a.rng.standard_normal((32, 1, 1)).astype("f")) for _ in range(2))
    hidden = a.add("Add", a.add("Mul", a.add("Cast", first, to=1), scale), bias)
    last = a.binary_conv2d(a.sign(hidden), 32, 32, thresholds=False)
    scores = a.add("Add", a.add("Mul", a.add("Cast", last, to=1), scale), bias)
    model = a.artifact((32, 6, 6), scores)
    operators = to_tflite(model).report.operators
    assert (operators["MUL"], operators["ADD"]) == (1, 1 + 1)  # and the ADD of 0 to the input
    assert_equal_in_tflite(model, normal((2, 32, 6, 6)))
