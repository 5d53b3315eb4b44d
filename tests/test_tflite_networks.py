"""Whole networks from torch as TFLite, in LCE's three kernels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tflite_runs import assert_equal_in_tflite, needs_lce, pixels
from torch import nn

from bnnkit import data
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.constants import Mode
from bnnkit.artifact.reference import Reference
from bnnkit.engines.lce import Kernel, LarqComputeEngine
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.export.tflite import export_tflite, to_tflite
from bnnkit.models import build
from bnnkit.runtime import Model

pytestmark = needs_lce

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"

NETWORKS: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
    "vgg": ((3, 32, 32), {"width": 16}),
    "convnet": ((1, 28, 28), {}),
    "resnet18": ((3, 32, 32), {"width": 16}),
    "mlp": ((3, 8, 8), {}),
}


def artifact_of(
    name: str,
    shape: tuple[int, int, int],
    options: dict[str, Any],
    images: NDArray[Any],
    *,
    mode: Mode = "deterministic",
) -> Artifact:
    """A network with batch norms of either sign, which have seen the images."""
    torch.manual_seed(0)
    zero_point = [120] * shape[0]
    model = build(name, input_shape=shape, n_classes=10, zero_point=zero_point, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    batch = torch.from_numpy(images)
    with torch.no_grad():
        for _ in range(5):
            model(batch)
    return from_torch(model.eval(), batch, mode=mode)


LARGE = {"vgg", "resnet18"}
PARAMETERS = [
    pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in NETWORKS
]


@pytest.fixture(scope="module", params=PARAMETERS)
def network(request: pytest.FixtureRequest) -> tuple[Artifact, tuple[int, int, int]]:
    """An artifact and the shape of its images."""
    shape, options = NETWORKS[request.param]
    return artifact_of(request.param, shape, options, pixels((16, *shape))), shape


@pytest.mark.parametrize("batch", [1, 7])
def test_signs_and_scores(network: tuple[Artifact, tuple[int, int, int]], batch: int) -> None:
    model, shape = network
    assert_equal_in_tflite(model, pixels((batch, *shape), seed=batch))


def test_classes(network: tuple[Artifact, tuple[int, int, int]]) -> None:
    model, shape = network
    images = pixels((50, *shape), seed=3)
    expected = Reference(model).run(images)[0].argmax(axis=1)
    scores = LarqComputeEngine(model).run(images)[0]
    np.testing.assert_array_equal(scores.argmax(axis=1), expected)


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason=f"needs the MNIST files in {MNIST}")
@pytest.mark.parametrize("kernel", ["default", "indirect", "reference"])
def test_classes_of_mnist(kernel: Kernel) -> None:
    images = data.load("mnist", MNIST).x_test
    model = artifact_of("convnet", (1, 28, 28), {"width": 8}, images[:64])
    blocks = images.reshape(10, 1000, 1, 28, 28)
    runtime, engine = Model(model), LarqComputeEngine(model, kernel=kernel)
    for block in blocks:
        expected = runtime.run(block)
        assert isinstance(expected, np.ndarray)
        scores = engine.run(block)[0]
        np.testing.assert_array_equal(scores.argmax(axis=1), expected.argmax(axis=1))
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-3)


def test_the_file(network: tuple[Artifact, tuple[int, int, int]], tmp_path: Path) -> None:
    """The same bytes each time, about as many as in the artifact."""
    model, (channels, height, width) = network
    paths = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    reports = [export_tflite(model, path) for path in paths]
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes() == to_tflite(model).content
    assert reports[0] == reports[1]
    assert reports[0].input_shape == (1, height, width, channels)
    assert reports[0].file_bytes == len(content)
    extra = sum(choice.extra_bytes for choice in reports[0].choices)
    assert len(content) < model.model.ByteSize() + extra + 4000
