"""Scales of output channels: their values, their gradients, and the files that they give."""

from pathlib import Path

import pytest
import torch
from torch import nn

import bnnkit.nn as bnn
from bnnkit.errors import UsageError
from bnnkit.export import export_onnx
from bnnkit.models import build
from bnnkit.runtime import load

SCALES = ["learned", "mean-abs"]


@pytest.mark.parametrize("training", [True, False])
def test_mean_abs(training: bool) -> None:
    torch.manual_seed(0)
    layer = bnn.BinaryConv2d(3, 4, 3, bias=True, noise="none", scale="mean-abs").train(training)
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias.copy_(torch.randn(4))
    x = torch.randn(2, 3, 5, 5).sign()
    scale = layer.latent.abs().mean((1, 2, 3), keepdim=True)
    weight = torch.where(layer.latent >= 0, 1.0, -1.0) * scale
    expected = nn.functional.conv2d(x, weight, layer.bias)
    torch.testing.assert_close(layer(x), expected)


def test_evaluation_has_the_scales_of_the_last_training_pass() -> None:
    layer = bnn.BinaryLinear(5, 3, scale="mean-abs")
    with torch.no_grad():
        layer.latent.mul_(2)
    layer(torch.ones(1, 5))
    assert layer.scale is not None
    torch.testing.assert_close(layer.scale.value, layer.latent.abs().mean(1).detach())
    assert sorted(layer.state_dict()) == ["latent", "scale.value"]


def test_learned_scales_are_parameters_but_no_latent_weights() -> None:
    layer = bnn.BinaryLinear(16, 3, noise="none", scale="learned")
    x = torch.randn(4, 16).sign()
    y = layer(x)
    torch.testing.assert_close(y, x @ torch.where(layer.latent >= 0, 1.0, -1.0).T / 4)
    y.sum().backward()
    assert layer.scale is not None
    torch.testing.assert_close(layer.scale.value.grad, 4 * y.detach().sum(0))
    assert bnn.latent_parameters(layer) == [layer.latent]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.slow
def test_a_file_folds_them_into_thresholds(scale: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build(
        "convnet",
        input_shape=(1, 8, 8),
        n_classes=3,
        zero_point=(7,),
        width=8,
        noise="none",
        weight_rule="binary-connect",
        weight_scale=scale,
    )
    images = torch.randint(0, 256, (20, 1, 8, 8)).to(torch.uint8)
    model(images).sum().backward()
    for module in model.modules():
        if isinstance(module, bnn.BinaryLinear) and scale == "learned":
            assert module.scale is not None
            with torch.no_grad():
                module.scale.value[::2] *= -1
    report = export_onnx(model.eval(), images, tmp_path / "model.onnx")
    assert [layer.kind for layer in report.layers].count("binary") == 2
    scores = load(tmp_path / "model.onnx").run(images.numpy())
    torch.testing.assert_close(torch.tensor(scores), model(images).detach(), rtol=0, atol=1e-5)


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(UsageError, match="a scale out of none, learned, mean-abs, got 'l2'"):
        bnn.BinaryLinear(3, 4, scale="l2")
