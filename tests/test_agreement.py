"""Random networks: torch, ONNX Runtime, the reference and the runtime give the same bits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.artifact.artifact import Artifact
from bnnkit.engines import open_engine
from bnnkit.export import export_onnx
from bnnkit.runtime.open_file import read
from bnnkit.verification.torch_trace import TorchTrace
from bnnkit.verification.verify import verify

SIZE = 9


class Residual(nn.Module):
    """x + BN(BinaryConv(sign(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sign = bnn.Sign()
        self.convolution = bnn.BinaryConv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.norm(self.convolution(self.sign(x)))
        return y


class Joined(nn.Module):
    """A binary convolution of two sign maps side by side."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))
        self.signs = nn.ModuleList(bnn.Sign() for _ in range(2))
        self.convolution = bnn.BinaryConv2d(2 * channels, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [sign(norm(x)) for norm, sign in zip(self.norms, self.signs, strict=True)]
        y: Tensor = self.convolution(torch.cat(maps, 1))
        return y


def random_network(rng: np.random.Generator, *, branches: bool) -> nn.Sequential:
    """An integer first layer, binary convolutions, a dense layer, a real head; 9x9 images.

    With branches there is also a skip connection and two sign maps that are joined.
    """
    groups = int(rng.choice([1, 2]))
    channels = groups * int(rng.choice([1, 31, 33, 64, 65]))
    layers: list[nn.Module] = [
        bnn.IntegerConv2d(2, channels, 3, padding=1, zero_point=[7, 130]),
        nn.BatchNorm2d(channels),
    ]
    if branches:
        joined = int(rng.choice([32, 66]))
        layers += [Residual(channels), Joined(channels, joined), nn.BatchNorm2d(joined)]
        groups, channels = 2, joined
    layers.append(bnn.Sign())
    size = SIZE
    for _ in range(rng.integers(1, 3)):
        block, channels, size = random_block(rng, channels, size, groups)
        layers += block
        groups = int(rng.choice([g for g in (1, 2, 3) if channels % g == 0]))
    layers += [
        nn.Flatten(),
        bnn.BinaryLinear(channels * size * size, 20),
        nn.BatchNorm1d(20),
        bnn.Sign(),
        nn.Linear(20, 5),
    ]
    return nn.Sequential(*layers)


def random_block(
    rng: np.random.Generator, channels: int, size: int, groups: int
) -> tuple[list[nn.Module], int, int]:
    """A binary convolution, batch norm, often a pool, on either side of the sign."""
    outputs = groups * int(rng.choice([8, 32, 63, 70]))
    kernel, stride, padding = (int(rng.integers(*ends)) for ends in ((1, 4), (1, 3), (0, 2)))
    span = 2 * (kernel - 1) + 1
    dilation = int(rng.integers(1, 3)) if size + 2 * padding >= span else 1
    convolution = bnn.BinaryConv2d(
        channels,
        outputs,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_value=str(rng.choice(["ones", "zeros"])),
    )
    size = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    end: list[nn.Module] = [bnn.Sign()]
    if size >= 4 and rng.random() < 0.6:
        end.insert(int(rng.integers(0, 2)), nn.MaxPool2d(2))
        size //= 2
    return [convolution, nn.BatchNorm2d(outputs), *end], outputs, size


def break_what_can_break(model: nn.Module, rng: np.random.Generator) -> None:
    """Negative, zero and tiny scales, and statistics that put sums on the threshold."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            n = module.num_features
            scale = rng.choice([-1.5, -1e-4, 0.0, 1e-4, 1.0, 2.0], n)
            bias = rng.choice([0.0, 0.0, -0.3, 0.2], n)
            mean = rng.integers(-5, 6, n)
            assert module.running_mean is not None
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(scale))
                module.bias.copy_(torch.from_numpy(bias))
                module.running_mean.copy_(torch.from_numpy(mean))


def read_by_a_2x2_maximum(model: Artifact) -> set[str]:
    """Values that a kernel may reduce before they reach memory."""
    return {
        node.input[0]
        for node in model.model.graph.node
        if node.op_type == "MaxPool"
        and any(a.name == "kernel_shape" and list(a.ints) == [2, 2] for a in node.attribute)
    }


def assert_engines_give(
    model: Artifact, images: NDArray[np.uint8], want: dict[str, NDArray[np.uint8]]
) -> None:
    """Every engine gives all these signs; the runtime may lack those before a maximum."""
    fused = read_by_a_2x2_maximum(model)
    for engine in ("reference", "onnxruntime", "bnnkit"):
        traced = open_engine(engine, model).trace(images)
        lacking = set(want) - set(traced)
        assert lacking <= (fused if engine == "bnnkit" else set()), engine
        for name in set(want) - lacking:
            np.testing.assert_array_equal(traced[name], want[name], err_msg=f"{engine}: {name}")


SEEDS = (3, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(4, 8)))


@pytest.mark.parametrize("branches", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("seed", SEEDS)
def test_all_engines_agree(tmp_path: Path, branches: bool, seed: int) -> None:
    path = tmp_path / "network.onnx"
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = random_network(rng, branches=branches)
    break_what_can_break(network, rng)
    images = rng.integers(0, 256, (7, 2, SIZE, SIZE)).astype(np.uint8)
    export_onnx(network, torch.from_numpy(images[:1]), path)
    model = read(path)
    for batch in (images, images[:1]):
        want = TorchTrace(network)(batch).signs
        if branches:  # torch may round real numbers otherwise: verify excuses that, and counts it
            traced = open_engine("reference", model).trace(batch)
            want = {name: traced[name] for name in want}
        assert_engines_give(model, batch, want)
    assert verify(model, images, network=network).is_equal
