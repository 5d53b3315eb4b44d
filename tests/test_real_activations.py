"""Networks with real-valued activations: their layers and sizes."""

import pytest
from small_models import REAL, images
from torch import nn

from bnnkit.errors import UsageError
from bnnkit.models import build
from bnnkit.nn import BinaryConv2d, IntegerConv2d


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("weights", ["real", "binary"])
def test_real_activations(name: str, weights: str) -> None:
    model = build(
        name, input_shape=(3, 32, 32), n_classes=7, zero_point=(1, 2, 3), weights=weights,
        weight_rule="standardised", **REAL[name],
    )  # fmt: skip
    scores = model(images(4, 3, 32, 32))
    assert scores.shape == (4, 7)
    scores.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    kinds = (IntegerConv2d, BinaryConv2d, nn.Conv2d, nn.Linear)
    first, *hidden, last = (m for m in model.modules() if isinstance(m, kinds))
    assert isinstance(first, IntegerConv2d)
    assert isinstance(last, nn.Linear)
    kind = BinaryConv2d if weights == "binary" else nn.Conv2d
    assert len(hidden) == {"resnet18-real": 19, "vgg16-real": 12, "vgg-small-real": 5}[name]
    for layer in hidden:
        assert isinstance(layer, kind)
        padding = layer.padding_value if isinstance(layer, BinaryConv2d) else layer.padding_mode
        assert padding == "zeros"
    with pytest.raises(UsageError, match="weights out of real, binary, got 'ternary'"):
        build(name, input_shape=(3, 32, 32), n_classes=2, zero_point=None, weights="ternary")


def test_the_sizes_of_real_networks_are_the_papers() -> None:
    counts = {
        name: sum(
            p.numel()
            for p in build(
                name, input_shape=(3, 32, 32), n_classes=10, zero_point=(1, 2, 3)
            ).parameters()
        )
        for name in REAL
    }
    # As in the usual versions for CIFAR-10, but for the 4,224 biases of VGG16's convolutions.
    # VGG-Small: 9 (3 W + W^2 + 2 W^2 + 4 W^2 + 8 W^2 + 16 W^2) weights, 2 numbers for each of 14 W
    # batch norms, and a last layer of 64 W inputs; W = 128.
    vgg_small = 9 * (3 * 128 + 31 * 128**2) + 2 * 14 * 128 + (64 * 128 + 1) * 10
    assert counts == {
        "resnet18-real": 11_173_962,
        "vgg16-real": 14_728_266 - 4_224,
        "vgg-small-real": vgg_small,
    }
