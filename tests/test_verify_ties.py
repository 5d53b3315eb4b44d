"""Signs without noise beside noisy ones, at the ties of float32: they are torch's own."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import bnnkit.nn as bnn
from bnnkit.export.from_torch.export_onnx import from_torch
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
    return np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("twice", [False, True])
def test_torch_is_equal_at_a_tie(twice: bool) -> None:
    network, images = _network(twice=twice), _images()
    artifact = from_torch(network, torch.from_numpy(images[:2]))
    found = verify(artifact, images, network=network, samples=2)
    (torch_found,) = (one for one in found.comparisons if one.engine == "torch")
    assert torch_found.differences == ()
    assert found.is_equal
    assert torch_found.excused_images == 0
