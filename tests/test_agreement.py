"""Random networks: torch, ONNX Runtime, the reference and the runtime give the same bits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

import bnnkit.nn as bnn
from bnnkit.engines import open_file
from bnnkit.export import export_onnx


def random_network(rng: np.random.Generator) -> nn.Sequential:
    """An integer first layer, some binary convolutions, a dense layer, a real head; 9x9 images."""
    channels = int(rng.choice([1, 31, 33, 64, 65]))
    layers: list[nn.Module] = [
        bnn.IntegerConv2d(2, channels, 3, padding=1, zero_point=[7, 130]),
        nn.BatchNorm2d(channels),
        bnn.Sign(),
    ]
    size = 9
    for _ in range(rng.integers(1, 3)):
        outputs = int(rng.choice([8, 32, 63, 70]))
        kernel, stride = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        padding, value = int(rng.integers(0, 2)), str(rng.choice(["ones", "zeros"]))
        layers += [
            bnn.BinaryConv2d(
                channels, outputs, kernel, stride=stride, padding=padding, padding_value=value
            ),
            nn.BatchNorm2d(outputs),
        ]
        size = (size + 2 * padding - kernel) // stride + 1
        if size >= 4 and rng.random() < 0.5:
            layers.append(nn.MaxPool2d(2))
            size //= 2
        layers.append(bnn.Sign())
        channels = outputs
    layers += [
        nn.Flatten(),
        bnn.BinaryLinear(channels * size * size, 20),
        nn.BatchNorm1d(20),
        bnn.Sign(),
        nn.Linear(20, 5),
    ]
    return nn.Sequential(*layers)


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


@pytest.mark.parametrize("batch", [1, 7])
@settings(deadline=None, max_examples=3, phases=[Phase.generate])  # an export takes seconds
@given(seed=st.integers(0, 2**32 - 1))
def test_all_engines_agree(
    tmp_path_factory: pytest.TempPathFactory, batch: int, seed: int
) -> None:
    path: Path = tmp_path_factory.mktemp("network") / "network.onnx"
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = random_network(rng)
    break_what_can_break(model, rng)
    images = rng.integers(0, 256, (batch, 2, 9, 9)).astype(np.uint8)
    export_onnx(model, torch.from_numpy(images[:1]), path)
    want: dict[str, NDArray[np.float32]] = {}
    for name, module in model.named_modules():
        if isinstance(module, bnn.Sign):
            module.register_forward_hook(
                lambda _m, _i, out, name=name: want.__setitem__(name, out.numpy() + 1)
            )
    with torch.no_grad():
        scores = model.eval()(torch.from_numpy(images)).numpy()
    assert len(want) >= 3
    for engine in ("reference", "onnxruntime", "bnnkit"):
        opened = open_file(engine, path)
        traced = opened.trace(images)
        compared = set(want) & set(traced)
        assert engine == "bnnkit" or compared == set(want)
        for name in compared:
            np.testing.assert_array_equal(traced[name], want[name], err_msg=f"{engine}: {name}")
        np.testing.assert_allclose(opened.run(images)[0], scores, atol=1e-4)
