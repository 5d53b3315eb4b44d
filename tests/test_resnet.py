"""ResNet-18 with binary layers: its skips and activations."""

from typing import Any

import pytest
import torch
from small_models import images, small
from torch import nn

from bnnkit.errors import UsageError
from bnnkit.models import build
from bnnkit.models.real_activations import BasicBlock
from bnnkit.models.resnet import BinaryResidual
from bnnkit.models.rprelu import ChannelShift, RPReLU
from bnnkit.nn import BinaryConv2d


def test_resnet_has_sixteen_binary_convolutions_each_with_a_skip() -> None:
    model = small("resnet18", zero_point=(1, 2, 3))
    convolutions = [m for m in model.modules() if isinstance(m, BinaryConv2d)]
    assert len(convolutions) == 16
    assert [c.geometry.out_channels for c in convolutions[::4]] == [4, 8, 16, 32]
    # Without what the convolutions add, what is left is the skips alone.
    residuals = model.get_submodule("residuals")
    for module in residuals.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)
    stem = model.eval().get_submodule("stem")(images(2, 3, 16, 24))
    skip = nn.functional.max_pool2d(stem, 8).repeat(1, 8, 1, 1)
    assert torch.equal(residuals(stem), skip)


def test_resnet_with_convolved_skips() -> None:
    options = {"skip": "conv", "activation": "rprelu", "width": 4}
    model = build(
        "resnet18", input_shape=(3, 16, 24), n_classes=7, zero_point=(1, 2, 3), **options
    )
    assert model(images(2, 3, 16, 24)).shape == (2, 7)
    skips = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in skips] == [(4, 8), (8, 16), (16, 32)]
    assert sum(isinstance(m, nn.PReLU) for m in model.modules()) == 17
    assert sum(isinstance(m, ChannelShift) for m in model.modules()) == 2 * 17 + 16
    with pytest.raises(UsageError, match="a skip out of pool, average, conv, got 'none'"):
        build("resnet18", input_shape=(3, 8, 8), n_classes=2, zero_point=None, skip="none")
    with pytest.raises(UsageError, match="an activation out of none, rprelu, got 'relu'"):
        build("resnet18", input_shape=(3, 8, 8), n_classes=2, zero_point=None, activation="relu")


def test_rprelu_is_a_shifted_prelu() -> None:
    module = RPReLU(3)
    before, after = (m for m in module.modules() if isinstance(m, ChannelShift))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    x = torch.randn(5, 3, 4, 4)
    shifted = x + before.shift.view(3, 1, 1)
    slope = module.prelu.weight.view(3, 1, 1)
    want = torch.where(shifted >= 0, shifted, slope * shifted) + after.shift.view(3, 1, 1)
    torch.testing.assert_close(module(x), want)


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet18", {"skip": "conv", "activation": "rprelu"}), ("resnet18-real", {})],
)
def test_values_on_skips_have_the_dtype_of_autocast(name: str, options: dict[str, Any]) -> None:
    model = build(
        name, input_shape=(3, 16, 16), n_classes=2, zero_point=(1, 2, 3), width=4, **options
    )
    seen = []
    for module in model.modules():
        if isinstance(module, BinaryResidual | BasicBlock):
            module.register_forward_hook(lambda m, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        model(images(2, 3, 16, 16))
    assert set(seen) == {torch.bfloat16}
    seen.clear()
    model(images(2, 3, 16, 16))
    assert set(seen) == {torch.float32}


def test_images_that_the_resnet_cannot_halve() -> None:
    with pytest.raises(UsageError, match="multiples of 8, got 28 x 28"):
        small("resnet18", shape=(1, 28, 28))
