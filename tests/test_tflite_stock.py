"""Files of builtin operators in an interpreter that knows nothing of Larq: LiteRT's, or TFLite's.

Either of the packages ai-edge-litert and tflite-runtime will do.
"""

import importlib
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import Artifact, digits_like, noisy_digits_like, noisy_real_like
from numpy.typing import NDArray
from tflite_runs import as_onnx, normal, to_nhwc

from bnnkit.export.tflite import GivenUniforms, to_tflite
from bnnkit.runtime import Model
from bnnkit.runtime.reference import Reference
from bnnkit.sample import Sample
from bnnkit.tflite_uniforms import uniforms

PACKAGES = ("ai_edge_litert", "tflite_runtime")
DELEGATES = ("BUILTIN_WITHOUT_DEFAULT_DELEGATES", "AUTO")
"""TFLite's own kernels, and XNNPACK's."""

Array = NDArray[Any]


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> Any:
    """The module `interpreter` of a package."""
    pytest.importorskip(request.param)
    return importlib.import_module(f"{request.param}.interpreter")


def run(package: Any, content: bytes, inputs: list[Array], delegates: str) -> list[Array]:
    resolver = package.OpResolverType[delegates]
    engine = package.Interpreter(
        model_content=content, num_threads=1, experimental_op_resolver_type=resolver
    )
    engine.allocate_tensors()
    for place, array in zip(engine.get_input_details(), inputs, strict=True):
        engine.set_tensor(place["index"], array)
    engine.invoke()
    return [engine.get_tensor(place["index"]) for place in engine.get_output_details()]


def assert_equal_in_stock(
    package: Any, model: onnx.ModelProto, images: Array, sample: Sample | None = None
) -> None:
    """All signs are the runtime's with noise, and the reference's without."""
    if sample is None:
        signs = Reference(model).trace(images)
    else:
        signs = Model(model).trace(images, sample=sample)
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
    for delegates in DELEGATES:
        found = run(package, tflite.content, inputs, delegates)[len(tflite.outputs) :]
        for (name, value), result in zip(tflite.traced.items(), found, strict=True):
            np.testing.assert_array_equal(as_onnx(value, result), signs[name], err_msg=name)


def test_a_small_network(package: Any) -> None:
    assert_equal_in_stock(package, *digits_like())


@pytest.mark.parametrize("groups", [1, 3, 6])
@pytest.mark.parametrize("stride", [1, 2])
def test_paddings_and_groups(package: Any, groups: int, stride: int) -> None:
    a = Artifact(groups)
    signs = a.sign("x")
    ones = a.pad_with_ones(signs, 1, 1, 1, 1)
    bits = a.binary_conv2d(ones, 6, 12, stride=stride, groups=groups)
    zeros = a.binary_conv2d(signs, 6, 12, pads=(1, 1, 1, 1), stride=stride, groups=groups)
    sums = a.binary_conv2d(ones, 6, 12, stride=stride, groups=groups, thresholds=False)
    apart = a.threshold(sums, a.rng.integers(-9, 9, (12, 1, 1)))
    pooled = a.add("MaxPool", bits, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    model = a.model((6, 7, 8), bits, zeros, sums, apart, pooled)
    assert_equal_in_stock(package, model, normal((2, 6, 7, 8)))


@pytest.mark.parametrize("make", [noisy_digits_like, noisy_real_like])
def test_given_numbers(package: Any, make: Any) -> None:
    model, images = make()
    assert_equal_in_stock(package, model, images[:3], Sample(seed=8, index=1))
