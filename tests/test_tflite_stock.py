"""Files of builtin operators in an interpreter that knows nothing of Larq: LiteRT's.

`BNNKIT_LITERT_PYTHON` names a Python that has ai-edge-litert, which need have nothing of bnnkit.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import ArtifactBuilder, digits_like, noisy_digits_like, noisy_real_like
from numpy.typing import NDArray
from tflite_runs import as_onnx, assert_equal, normal, pixels, to_nhwc

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.reference import Reference
from bnnkit.engines import lce_child
from bnnkit.export.tflite import GivenUniforms, RandomUniforms, to_tflite
from bnnkit.export.tflite.given_uniforms import uniforms
from bnnkit.runtime import Model

Array = NDArray[Any]
VARIABLE = "BNNKIT_LITERT_PYTHON"
CHILD = Path(__file__).parent / "litert_child.py"

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no Python with ai-edge-litert"
)


class LiteRt:
    """LiteRT's interpreter in a process of the Python that the variable names."""

    def __init__(self) -> None:
        command = [os.environ[VARIABLE], "-E", str(CHILD), str(Path(lce_child.__file__))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, content: bytes, inputs: list[Array], *, xnnpack: bool) -> list[Array]:
        """All outputs of a file."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        lce_child.send(self._process.stdin, {"xnnpack": xnnpack}, inputs, content)
        answer = lce_child.receive(self._process.stdout)
        assert answer is not None, f"{VARIABLE} names a Python without ai-edge-litert"
        head, outputs, _ = answer
        assert "error" not in head, head["error"]
        return outputs

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="module")
def litert() -> Iterator[LiteRt]:
    engine = LiteRt()
    yield engine
    engine.close()


def assert_equal_in_stock(
    litert: LiteRt, model: Artifact, images: Array, sample: Sample | None = None
) -> None:
    """All signs are the runtime's with noise, the reference's without; outputs within 1e-3."""
    outputs: Any
    if sample is None:
        reference = Reference(model)
        signs, outputs = reference.trace(images), reference.run(images)
    else:
        runtime = Model(model)
        signs = runtime.trace(images, sample=sample)
        outputs = [runtime.run_sample(images, sample)]
    tflite = to_tflite(
        model,
        variant="builtin",
        uniforms=GivenUniforms(),
        batch=len(images),
        traced=list(signs),
    )
    inputs = [to_nhwc(images)]
    if sample is not None:
        inputs += uniforms(tflite.report.uniform_inputs, len(images), sample)
    values = [*tflite.outputs.values(), *tflite.traced.values()]
    expected = [*outputs, *(signs[name] for name in tflite.traced)]
    for xnnpack in (False, True):
        results = litert.run(tflite.content, inputs, xnnpack=xnnpack)
        for value, result, right in zip(values, results, expected, strict=True):
            assert_equal(as_onnx(value, result), right, f"{value}, {xnnpack=}")


def test_a_small_network(litert: LiteRt) -> None:
    assert_equal_in_stock(litert, *digits_like())


@pytest.mark.parametrize("groups", [1, 3, 6])
@pytest.mark.parametrize("stride", [1, 2])
def test_paddings_and_groups(litert: LiteRt, groups: int, stride: int) -> None:
    a = ArtifactBuilder(groups)
    signs = a.sign("x")
    ones = a.pad_with_ones(signs, 1, 1, 1, 1)
    bits = a.binary_conv2d(ones, 6, 12, stride=stride, groups=groups)
    zeros = a.binary_conv2d(signs, 6, 12, pads=(1, 1, 1, 1), stride=stride, groups=groups)
    sums = a.binary_conv2d(ones, 6, 12, stride=stride, groups=groups, thresholds=False)
    apart = a.threshold(sums, a.rng.integers(-9, 9, (12, 1, 1)))
    pooled = a.add("MaxPool", bits, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    model = a.artifact((6, 7, 8), bits, zeros, sums, apart, pooled)
    assert_equal_in_stock(litert, model, normal((2, 6, 7, 8)))


@pytest.mark.parametrize("make", [noisy_digits_like, noisy_real_like])
def test_given_numbers(litert: LiteRt, make: Any) -> None:
    model, images = make()
    assert_equal_in_stock(litert, model, images[:3], Sample(seed=8, index=1))


@pytest.mark.parametrize("kernel", [(1, 1), (1, 3), (3, 1)])
@pytest.mark.parametrize("strides", [(2, 2), (1, 2), (2, 1)])
def test_windows_with_gaps(
    litert: LiteRt, kernel: tuple[int, int], strides: tuple[int, int]
) -> None:
    around = (kernel[0] // 2, kernel[1] // 2) * 2
    a = ArtifactBuilder()
    outputs = [a.binary_conv2d(a.sign("x"), 6, 6, kernel, pads=around, thresholds=False)]
    for groups in (1, 6):
        weight = a.rng.standard_normal((6, 6 // groups, *kernel)).astype(np.float32)
        form = {"group": groups, "pads": around, "strides": (1, 1)}
        outputs.append(a.add("Conv", "x", a.constant(weight), **form))
    for node in a.nodes:
        for attribute in node.attribute:
            if attribute.name == "strides":
                attribute.ints[:] = strides
    assert_equal_in_stock(litert, a.artifact((6, 6, 8), *outputs), normal((2, 6, 6, 8)))


def test_functions_and_slopes(litert: LiteRt) -> None:
    a = ArtifactBuilder()
    outputs = [a.add(kind, "x") for kind in ("Gelu", "Elu", "HardSigmoid", "Softplus")]
    outputs += [a.add("PRelu", "x", a.constant(np.full(n, 0.3, "f"))) for n in (1, (6, 1, 1))]
    zero = a.constant(np.float32(0))
    outputs.append(a.add("Where", a.add("Less", "x", zero), zero, "x"))
    assert_equal_in_stock(litert, a.artifact((6, 7, 8), *outputs), normal((2, 6, 7, 8)))


def test_maps_of_other_sizes_and_orders(litert: LiteRt) -> None:
    a = ArtifactBuilder()
    signs = a.sign("x")
    scales = a.constant(np.array([1, 1, 2, 2], np.float32))
    outputs = [a.add("Resize", "x", "", scales, mode=mode) for mode in ("nearest", "linear")]
    weight = a.constant(a.rng.standard_normal((6, 5, 3, 3)).astype(np.float32))
    form = {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}
    outputs.append(a.add("ConvTranspose", "x", weight, **form))
    for source in ("x", signs):
        split = a.add("Reshape", source, a.constant(np.array([0, 2, 3, 7, 8])))
        swapped = a.add("Transpose", split, perm=[0, 2, 1, 3, 4])
        outputs.append(a.add("Reshape", swapped, a.constant(np.array([0, 6, 7, 8]))))
        outputs.append(a.add("Concat", source, outputs[-1], axis=1))
    assert_equal_in_stock(litert, a.artifact((6, 7, 8), *outputs), normal((2, 6, 7, 8)))


def test_an_image(litert: LiteRt) -> None:
    a = ArtifactBuilder()
    pooled = a.add("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    model = a.artifact(
        (3, 8, 7), pooled, a.integer_conv2d(pooled, 3, 8), dtype=onnx.TensorProto.UINT8
    )
    assert_equal_in_stock(litert, model, pixels((2, 3, 8, 7)))


def test_a_seed_repeats(litert: LiteRt) -> None:
    model, images = noisy_digits_like()
    inputs = [to_nhwc(images[:8])]
    contents = [
        to_tflite(model, variant="builtin", uniforms=RandomUniforms(seed), batch=8).content
        for seed in (5, 5, 2**64 - 1, 0)
    ]
    found = [litert.run(content, inputs, xnnpack=False)[0] for content in contents]
    np.testing.assert_array_equal(found[0], found[1])
    for other in found[2:]:
        assert (found[0] != other).any()
