"""Slices, parts, joints and other orders of numbers and of signs in TFLite."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder
from onnx import TensorProto, helper
from tflite_runs import assert_equal_in_tflite, needs_lce, normal, pixels

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import to_tflite

pytestmark = needs_lce

Cut = tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]
"""Starts, ends, axes, steps."""


def sliced(a: ArtifactBuilder, source: str, cut: Cut) -> str:
    return a.add("Slice", source, *(a.constant(np.array(numbers)) for numbers in cut))


@pytest.mark.parametrize("channels", [32, 33, 70, 96])
@pytest.mark.parametrize(
    "cut",
    [
        ([0], [32], [1], [1]),
        ([32], [2**31], [1], [1]),
        ([3], [-2], [1], [1]),
        ([0], [33], [1], [3]),
        ([-1], [99], [1], [1]),
        ([1, 0], [5, -1], [2, 3], [2, 1]),
        ([31, 1], [200, 3], [1, 2], [1, 1]),
    ],
)
def test_slices_of_maps(channels: int, cut: Cut) -> None:
    a = ArtifactBuilder()
    signs = a.sign("x")
    size = len(range(channels)[cut[0][0] : cut[1][0] : cut[3][0]]) if 1 in cut[2] else channels
    if size < 1:
        with pytest.raises(
            UnsupportedError,
            match=r"Slice\d \(Slice\): expected a part of the shape .* got one of the size 0",
        ):
            to_tflite(a.artifact((channels, 6, 5), sliced(a, signs, cut)))
        return
    part = sliced(a, signs, cut)
    outputs = [sliced(a, "x", cut), part, a.binary_conv2d(part, size, 8, 1)]
    assert_equal_in_tflite(a.artifact((channels, 6, 5), *outputs), normal((2, channels, 6, 5)))


def test_slices_of_vectors_images_and_sums() -> None:
    a = ArtifactBuilder()
    flat, cut = a.add("Flatten", "x"), ([2], [7], [1], [2])
    outputs = [sliced(a, flat, cut), sliced(a, a.add("Flatten", a.sign("x")), cut)]
    sums = a.binary_conv2d(a.sign("x"), 5, 9, 1, thresholds=False)
    outputs += [sliced(a, sums, cut), sliced(a, a.gemm(flat, 30, 9), cut)]
    assert_equal_in_tflite(a.artifact((5, 2, 3), *outputs), normal((2, 5, 2, 3)))
    b = ArtifactBuilder()
    part = sliced(b, "x", ([1, 1], [3, 5], [1, 2], [1, 2]))
    model = b.artifact((4, 6, 6), part, b.integer_conv2d(part, 2, 8), dtype=TensorProto.UINT8)
    assert_equal_in_tflite(model, pixels((2, 4, 6, 6)))


def test_words_are_taken_as_they_are() -> None:
    """Where they hold nothing else, and elsewhere the report says what it costs."""
    for cut, operators, n_choices in (
        (([32], [64], [1], [1]), {"STRIDED_SLICE": 1}, 0),
        (([64], [70], [1], [1]), {"STRIDED_SLICE": 1}, 0),
        (([0], [40], [1], [1]), {"STRIDED_SLICE": 1, "LceDequantize": 1, "LceQuantize": 1}, 2),
    ):
        a = ArtifactBuilder()
        part = sliced(a, a.sign(a.add("Add", "x", a.constant(np.float32(1)))), cut)
        report = to_tflite(a.artifact((70, 4, 4), part)).report
        found = dict(report.operators)
        del found["ADD"]
        expected = {**operators, "LceQuantize": operators.get("LceQuantize", 0) + 1}
        assert found == expected
        assert len(report.choices) == n_choices
        costs = [(c.extra_operators, c.extra_activation_bytes) for c in report.choices]
        assert costs == [(1, 4 * 4 * 70 * 4), (1, 4 * 4 * 2 * 4)][:n_choices]


@pytest.mark.parametrize("sizes", [[], [32, 32, 6], [1, 2, 67]])
def test_parts(sizes: list[int]) -> None:
    """A Split into equal parts, or into parts of given sizes."""
    a = ArtifactBuilder()
    signs = a.sign("x")
    infos: list[Any] = []
    for source, dtype in (("x", TensorProto.FLOAT), (signs, TensorProto.UINT8)):
        operands = [a.constant(np.array(sizes))] if sizes else []
        a.add("Split", source, *operands, axis=1, **({} if sizes else {"num_outputs": 3}))
        names = [f"{source}/{i}" for i in range(3)]
        a.nodes[-1].output[:] = names
        infos += [helper.make_tensor_value_info(name, dtype, None) for name in names]
    model = a.artifact((70, 3, 4), signs)
    model.model.graph.output.extend(infos)
    assert_equal_in_tflite(model, normal((2, 70, 3, 4)))


@pytest.mark.parametrize("channels", [(32, 32), (33, 31), (64, 5), (1, 1)])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_joints(channels: tuple[int, int], axis: int) -> None:
    a = ArtifactBuilder()
    values = [sliced(a, "x", ([0], [n], [1], [1])) for n in channels]
    if axis != 1:
        values[1] = a.add("Neg", values[0])
    signs = [a.sign(value) for value in values]
    flat = [a.add("Flatten", sign) for sign in signs]
    pixel = [a.add("Flatten", a.add("MaxPool", sign, kernel_shape=[3, 2])) for sign in signs]
    outputs = [a.add("Concat", *both, axis=axis) for both in (values, signs)]
    outputs += [a.add("Concat", *both, axis=1) for both in (flat, pixel)]
    if axis == 1:
        outputs.append(a.binary_linear(outputs[2], 6 * sum(channels), 9))
    most = max(channels)
    assert_equal_in_tflite(a.artifact((most, 3, 2), *outputs), normal((2, most, 3, 2)))


@pytest.mark.parametrize("order", [(0, 1, 3, 2), (0, 2, 1, 3), (0, 3, 2, 1), (0, 2, 3, 1)])
@pytest.mark.parametrize("channels", [5, 32])
def test_orders(order: tuple[int, ...], channels: int) -> None:
    a = ArtifactBuilder()
    signs = a.add("Transpose", a.sign("x"), perm=order)
    new = [(channels, 3, 4)[axis - 1] for axis in order[1:]]
    outputs = [a.add("Transpose", "x", perm=order), signs, a.binary_conv2d(signs, new[0], 6, 1)]
    outputs += [a.add("Flatten", outputs[0]), a.add("Flatten", signs)]
    assert_equal_in_tflite(a.artifact((channels, 3, 4), *outputs), normal((2, channels, 3, 4)))


@pytest.mark.parametrize(("channels", "groups"), [(64, 2), (66, 3), (8, 4)])
def test_a_shuffle_of_channels(channels: int, groups: int) -> None:
    """Five axes on the way, in which signs are elements of their own."""
    a = ArtifactBuilder()
    shape = a.constant(np.array([0, groups, channels // groups, 4, 3]))
    back = a.constant(np.array([0, channels, 4, 3]))
    outputs = []
    for source in ("x", a.sign("x")):
        split = a.add("Reshape", source, shape)
        swapped = a.add("Transpose", split, perm=[0, 2, 1, 3, 4])
        outputs += [swapped, a.add("Reshape", swapped, back)]
    outputs.append(a.to_real(outputs[2]))
    outputs.append(a.binary_conv2d(outputs[3], channels, 7, 3, pads=(1, 1, 1, 1)))
    assert_equal_in_tflite(a.artifact((channels, 4, 3), *outputs), normal((2, channels, 4, 3)))


def test_signs_in_another_map() -> None:
    a = ArtifactBuilder()
    signs = a.sign("x")
    outputs: list[Any] = [a.add("Reshape", signs, a.constant(np.array([0, 6, -1, 4])))]
    padded = a.pad_with_ones(signs, 1, 1, 1, 1)
    outputs.append(a.add("Reshape", padded, a.constant(np.array([0, 40, 3, 6]))))
    outputs.append(a.binary_conv2d(outputs[1], 40, 7, 3))
    assert_equal_in_tflite(a.artifact((24, 4, 3), *outputs), normal((2, 24, 4, 3)))


def test_what_is_refused() -> None:
    for kind, operands, attributes, said in (
        ("Slice", ([0], [1], [0], [1]), {}, "expected other axes than the batch, got axis 0"),
        ("Transpose", (), {"perm": [1, 0, 2, 3]}, "expected the batch to stay the first axis"),
        ("Concat", (), {"axis": 0}, "expected other axes than the batch, got axis 0"),
        (
            "Split",
            (),
            {"axis": 0, "num_outputs": 1},
            "expected other axes than the batch, got axis 0",
        ),
    ):
        a = ArtifactBuilder()
        more = [a.constant(np.array(numbers)) for numbers in operands]
        model = a.artifact((8, 4, 4), a.add(kind, "x", *more, **attributes))
        with pytest.raises(UnsupportedError, match=rf"^{kind}0 \({kind}\): {said}$"):
            to_tflite(model)
