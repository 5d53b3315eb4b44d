"""The binary U-Net: its skip connections, its export, and its steps."""

import pytest
import torch
from against_reference import kinds
from small_models import images
from torch import nn

from bnnkit.errors import UsageError
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.models import build
from bnnkit.models.last_layer import LastConv2d
from bnnkit.nn import BinaryConv2d
from bnnkit.verification.verify import verify


def network(
    width: int = 4, levels: int = 2, zero_point: tuple[int, ...] | None = (9,)
) -> nn.Module:
    torch.manual_seed(0)
    model = build(
        "unet",
        input_shape=(1, 8, 12),
        n_classes=5,
        zero_point=zero_point,
        width=width,
        levels=levels,
    )
    model(images(4, 1, 8, 12).float())  # so that batch norms know both signs
    return model.eval()


@pytest.mark.parametrize("levels", [1, 2])
def test_a_class_of_each_pixel(levels: int) -> None:
    model = network(levels=levels)
    assert model(images(3, 1, 8, 12)).shape == (3, 5, 8, 12)
    layers = [m for m in model.modules() if isinstance(m, BinaryConv2d)]
    assert len(layers) == 1 + 2 * levels + 2 * levels
    assert isinstance(model.get_submodule("classifier"), LastConv2d)


def test_skip_connections_reach_the_classifier() -> None:
    """If the convolutions add nothing, real values of the stem are the features of each pixel."""
    model, x = network(), images(2, 1, 8, 12)
    stem = model.get_submodule("stem")(x)
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d) and not name.startswith("stem"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    assert torch.equal(model(x), model.get_submodule("classifier")(stem))


@pytest.mark.slow
@pytest.mark.parametrize("width", [4, 64])
def test_engines_agree(width: int) -> None:
    """Also where the parts of joined signs do not fill their words."""
    model, x = network(width, levels=1), images(3, 1, 8, 12)
    artifact = from_torch(model, x[:1], mode="deterministic")
    assert verify(artifact, x.numpy(), network=model).is_equal
    found = kinds(artifact)
    assert "NumpyOperator" not in found
    assert found.count("CopySigns") == 4 + 2  # four for each pixel of a block, two for the join


def test_sizes_that_cannot_be_halved() -> None:
    with pytest.raises(UsageError, match="multiples of 8, got 12 x 16"):
        build("unet", input_shape=(1, 12, 16), n_classes=2, zero_point=None)
