"""Convolutions of volumes (N, C, D, H, W): real ones, and binary ones in float."""

import numpy as np
import pytest
import torch
from onnx_graphs import network, operators, run
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.artifact.artifact import Artifact
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.runtime import Model
from bnnkit.verification.verify import verify

RNG = np.random.default_rng(0)
CASES = {
    "": (5, 4, 2, 3, 1),
    "strides = [2, 1, 2], pads = [1, 0, 2, 0, 1, 1]": (5, 4, 3, 3, 3),
    "dilations = [1, 2, 2], pads = [1, 1, 1, 1, 1, 1]": (5, 4, 2, 2, 3),
    "group = 2": (6, 2, 2, 2, 2),
}


@pytest.mark.parametrize("options", CASES)
def test_convolutions_of_volumes(options: str) -> None:
    shape = CASES[options]
    constants = {
        "w": RNG.normal(size=shape).astype(np.float32),
        "b": RNG.normal(size=shape[0]).astype(np.float32),
    }
    body = f"a = Mul(x, half) c = Conv<{options}>(a, w, b) y = Relu(c)".replace("<>", "")
    model = network(body, "float[N, 4, 5, 7, 6] x", "float[N, O, D, H, W] y", constants)
    x = RNG.normal(size=(3, 4, 5, 7, 6)).astype(np.float32)
    got = Model(Artifact(model)).run(x)
    np.testing.assert_allclose(got, run(model, x), rtol=1e-5, atol=1e-5)


class Film(nn.Module):
    """A real and a binary layer of (N, C, D, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(2, 4, 3, padding=1)
        self.sign = bnn.Sign(noise="none")
        self.layer = bnn.BinaryConv3d(4, 6, 3, padding=1, stride=(1, 2, 2), noise="none")

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layer(self.sign(self.first(x))).mean((2, 3, 4))
        return scores


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:layer. binary layers that the file computes in float")
def test_binary_layers_of_volumes_are_exact() -> None:
    torch.manual_seed(0)
    module, x = Film().eval(), torch.randn(2, 2, 4, 6, 6)
    artifact = from_torch(module, x)
    assert "BinaryWeight" in operators(artifact.model)
    for comparison in verify(artifact, x.numpy(), network=module).comparisons:
        assert not comparison.differences, comparison
        assert comparison.output_difference < 1e-5
