"""Signs without noise beside noisy ones, at the ties of float32: they are torch's own."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import bnnkit.nn as bnn
from bnnkit.artifact.format.sample import Sample
from bnnkit.export import noisy_thresholds
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.verification.reference_run import ReferenceRun
from bnnkit.verification.torch_trace import TorchTrace
from bnnkit.verification.verify import verify


def _network(*, twice: bool) -> nn.Sequential:
    """Noisy signs, then integer sums whose batch norm is 0 at an integer, in float32 or not."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(64)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(torch.arange(64) % 13 * 2 - 12.0)
    norm.running_var.fill_(9.0)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.1, 3, 64))
    layers = [
        bnn.IntegerConv2d(1, 4, 3, padding=1, zero_point=[0]),
        nn.BatchNorm2d(4),
        bnn.Sign("logistic"),
        bnn.BinaryConv2d(4, 64, 3, padding=1, noise="none"),
        norm,
        bnn.Sign("none"),
    ]
    if twice:  # noisy signs after a tie
        layers += [
            bnn.BinaryConv2d(64, 8, 3, noise="none"),
            nn.BatchNorm2d(8),
            bnn.Sign("logistic"),
        ]
    size = 8 * 6 * 6 if twice else 64 * 8 * 8
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, 3)).eval()


def _images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("twice", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_torch_is_equal_at_a_tie(twice: bool) -> None:
    network, images = _network(twice=twice), _images()
    artifact = from_torch(network, torch.from_numpy(images[:2]))
    thresholds = noisy_thresholds(network, torch.from_numpy(images[:2]))
    assert len(TorchTrace(network).paths) == 2 + twice
    trace, reference = TorchTrace(network, thresholds=thresholds), ReferenceRun(artifact)
    for sample in (None, Sample(seed=0), Sample(seed=2**32 + 1, index=1, antithetic=True)):
        found, expected = trace(images, sample), reference(images, sample)
        assert found.signs.keys() <= expected.signs.keys()
        for name, signs in found.signs.items():
            np.testing.assert_array_equal(signs, expected.signs[name])
        np.testing.assert_allclose(found.outputs[0], expected.outputs[0], atol=1e-4)


@pytest.mark.slow
def test_verify_is_equal_at_a_tie() -> None:
    network, images = _network(twice=True), _images()
    artifact = from_torch(network, torch.from_numpy(images[:2]))
    found = verify(artifact, images, network=network, samples=2)
    assert found.is_equal
    assert [one.excused_images for one in found.comparisons if one.engine == "torch"] == [0]
