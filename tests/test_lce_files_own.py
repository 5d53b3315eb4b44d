"""Files that bnnkit's own exporter wrote, opened again: the artifact's own bits."""

from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder, noisy_digits_like
from numpy.typing import NDArray
from tflite_runs import normal

from bnnkit.artifact import Artifact
from bnnkit.artifact.check import check
from bnnkit.artifact.reference import Reference
from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import GivenUniforms, Uniforms, Variant, to_tflite
from bnnkit.export.tflite.uniforms import RANDOM
from bnnkit.runtime import Model
from bnnkit.runtime.from_tflite import from_tflite


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("thresholds", [True, False])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 1)])
@pytest.mark.parametrize("batch", [1, 3])
def test_network(
    groups: int, thresholds: bool, pads: tuple[int, int, int, int], batch: int
) -> None:
    a, channels = ArtifactBuilder(0), 96
    signs = a.pad_with_ones(a.sign("x"), 1, 0, 1, 1)
    out = a.binary_conv2d(
        signs, channels, 66, 3, stride=2, pads=pads, groups=groups, thresholds=thresholds
    )
    model = a.artifact((channels, 8, 7), out)
    images = normal((batch, channels, 8, 7))
    expected = Reference(model).run(images)[0]
    again = from_tflite(to_tflite(model, batch=batch).content)
    assert isinstance(again, Artifact)
    check(again.model, "again.tflite")
    nhwc = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    for found in (Reference(again).run(nhwc)[0], Model(again).run(nhwc)):
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(_as_artifact(found, expected), expected)


@pytest.mark.parametrize("variant", ["lce", "builtin"])
def test_variants(variant: Variant) -> None:
    a, channels = ArtifactBuilder(1), 40
    signs = a.binary_conv2d(a.sign("x"), channels, 33, 3, pads=(1, 1, 1, 1), thresholds=True)
    model = a.artifact((channels, 6, 6), a.binary_conv2d(signs, 33, 5, 3, thresholds=False))
    images = normal((2, channels, 6, 6))
    again = from_tflite(to_tflite(model, variant=variant).content)
    nhwc = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    found = Model(again).run(nhwc)
    assert isinstance(found, np.ndarray)
    expected = Reference(model).run(images)[0]
    assert found.dtype == expected.dtype == np.dtype(np.int32)
    np.testing.assert_array_equal(found.transpose(0, 3, 1, 2), expected)


@pytest.mark.parametrize("variant", ["lce", "builtin"])
@pytest.mark.parametrize("uniforms", [RANDOM, GivenUniforms()])
def test_sampled_files_are_named(variant: Variant, uniforms: Uniforms) -> None:
    model, _ = noisy_digits_like()
    content = to_tflite(model, variant=variant, uniforms=uniforms).content
    with pytest.raises(UnsupportedError, match=r"a sampled TFLite file .* runs the \.onnx"):
        from_tflite(content)


def _as_artifact(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[Any]:
    """An output of the file, NHWC and packed, as the artifact has it."""
    if expected.dtype == np.uint8:
        words = np.ascontiguousarray(found).view(np.uint8)
        bits = np.unpackbits(words, axis=-1, count=expected.shape[1], bitorder="little")
        found = np.where(bits, 0, 2).astype(np.uint8)
    return found.transpose(0, 3, 1, 2)
