"""Padding in TFLite, in LCE's three kernels and by XNNPACK."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pytest
from artifacts import ArtifactBuilder
from onnx import TensorProto
from tflite_runs import all_results, assert_equal_in_tflite, needs_lce, normal, pixels

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.reference import Reference
from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import to_tflite

pytestmark = needs_lce


@pytest.mark.parametrize("dtype", [TensorProto.UINT8, TensorProto.FLOAT])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]])
def test_maximum_and_padding_of_an_image(dtype: int, pads: list[int]) -> None:
    a = ArtifactBuilder()
    image = dtype == TensorProto.UINT8
    pooled = a.add("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=pads)
    number = np.uint8(200) if image else np.float32(-1.5)
    around = a.constant(np.array([0, 0, *pads[:2], 0, 0, *pads[2:]]))
    padded = [a.add("Pad", "x", around, a.constant(x)) for x in (number, type(number)(0))]
    outputs = [pooled, *padded]
    if image:
        outputs += [a.integer_conv2d(x, 3, 8) for x in (pooled, *padded)]
    images = (pixels if image else normal)((2, 3, 8, 7))
    assert_equal_in_tflite(a.artifact((3, 8, 7), *outputs, dtype=dtype), images)


def _padded(pads: Sequence[int], taken: Sequence[int]) -> Artifact:
    """Numbers and signs, padded with 2 and +1, behind a slice that takes some pixels off."""
    top, left, bottom, right = taken
    a = ArtifactBuilder()
    limits = [a.constant(np.array(n)) for n in ((top, left), (8 - bottom, 7 - right), (2, 3))]
    around = a.constant(np.array([0, 0, *pads[:2], 0, 0, *pads[2:]]))
    outputs = []
    for x, two in (("x", np.float32(2)), (a.sign("x"), np.uint8(2))):
        inside = a.add("Slice", x, *limits) if any(taken) else x
        outputs.append(a.add("Pad", inside, around, a.constant(two)))
    return a.artifact((33, 8, 7), *outputs)


PADS = [(-1, -2, -3, 0), (-1, 2, 0, -1), (3, -1, -2, 0), (0, 0, -7, -6)]


@pytest.mark.parametrize("pads", PADS)
def test_pads_that_take_off(pads: tuple[int, int, int, int]) -> None:
    """ONNX's reference has none, so a slice and what is left of the pads say what is right."""
    images = normal((2, 33, 8, 7))
    expected = Reference(_padded([max(n, 0) for n in pads], [max(-n, 0) for n in pads]))
    results = all_results(_padded(pads, (0, 0, 0, 0)), images)
    for found, right in zip(results, cycle(expected.run(images)), strict=False):
        np.testing.assert_array_equal(found, right)


def test_pads_that_leave_nothing() -> None:
    a = ArtifactBuilder()
    pads = a.constant(np.array([0, 0, -2, 0, 0, 0, -2, 0]))
    with pytest.raises(UnsupportedError, match=r"Pad0 \(Pad\): the pads .* leave nothing"):
        to_tflite(a.artifact((3, 4, 4), a.add("Pad", "x", pads)))


def test_the_lowest_padding_of_signs_needs_whole_words() -> None:
    a = ArtifactBuilder()
    pads = a.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    padded = a.add("Pad", a.sign("x"), pads, a.constant(np.uint8(0)))
    bits = a.binary_conv2d(padded, 32, 8)
    assert_equal_in_tflite(a.artifact((32, 4, 4), bits, padded), normal((2, 32, 4, 4)))
    with pytest.raises(UnsupportedError, match="multiple of 32"):
        to_tflite(a.artifact((33, 4, 4), bits))


CHANNELS = {"both sides": [0, 2, 0, 0, 0, 3, 0, 0], "behind": [0, 0, 1, 0, 0, 31, 0, 2]}


@pytest.mark.parametrize("case", CHANNELS)
def test_padding_of_channels(case: str) -> None:
    """As the shortcuts of CIFAR ResNets, with 0 and with another number."""
    a = ArtifactBuilder()
    around = a.constant(np.array(CHANNELS[case]))
    outputs = [a.add("Pad", "x", around, a.constant(np.float32(number))) for number in (0, -1.5)]
    assert_equal_in_tflite(a.artifact((33, 8, 7), *outputs), normal((2, 33, 8, 7)))


@pytest.mark.parametrize("mode", ["edge", "reflect"])
def test_padding_with_pixels_of_the_map(mode: str) -> None:
    a = ArtifactBuilder()
    around = a.constant(np.array([0, 0, 2, 1, 0, 0, 0, 3]))
    outputs = [a.add("Pad", x, around, mode=mode) for x in ("x", a.sign("x"))]
    deep = a.constant(np.array([0, 1, 0, 0, 0, 2, 1, 0]))
    outputs.append(a.add("Pad", "x", deep, mode=mode))
    assert_equal_in_tflite(a.artifact((32, 8, 7), *outputs), normal((2, 32, 8, 7)))


def test_padding_of_the_channels_of_signs_is_refused() -> None:
    a = ArtifactBuilder()
    around = a.constant(np.array(CHANNELS["behind"]))
    padded = a.add("Pad", a.sign("x"), around, a.constant(np.uint8(2)))
    with pytest.raises(UnsupportedError, match="along the height and the width only"):
        to_tflite(a.artifact((33, 8, 7), padded))
