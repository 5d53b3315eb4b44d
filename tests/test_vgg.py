"""VGG and VGG-Small: their layers, and the options of their own."""

from collections.abc import Iterator

import pytest
import torch
from small_models import small
from torch import nn

from bnnkit.errors import UsageError
from bnnkit.models import build
from bnnkit.nn import BinaryConv2d, BinaryLinear, IntegerConv2d, Sign


def test_vgg_is_the_papers_network() -> None:
    """(2x128C3)-MP2-(2x256C3)-MP2-(2x512C3)-MP2-(2x1024FC)-10FC; signs after norm and pool."""
    model = build("vgg", input_shape=(3, 32, 32), n_classes=10, zero_point=(125, 123, 114))
    assert list(layers(model)) == [
        "3-128C3", "BN", "sign", "128-128C3", "BN", "MP2", "sign",
        "128-256C3", "BN", "sign", "256-256C3", "BN", "MP2", "sign",
        "256-512C3", "BN", "sign", "512-512C3", "BN", "MP2", "sign",
        "8192-1024FC", "BN", "sign", "1024-1024FC", "BN", "sign", "1024-10FC",
    ]  # fmt: skip


def layers(model: nn.Module) -> Iterator[str]:
    for module in model.modules():
        match module:
            case IntegerConv2d() | BinaryConv2d():
                g = module.geometry
                assert (g.kernel_size, g.padding, g.stride) == ((3, 3), (1, 1), (1, 1))
                yield f"{g.in_channels}-{g.out_channels}C3"
            case BinaryLinear() | nn.Linear():
                yield f"{module.in_features}-{module.out_features}FC"
            case nn.MaxPool2d():
                yield f"MP{module.kernel_size}"
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                yield "BN"
            case Sign():
                yield "sign"


def test_the_max_pool_may_come_first() -> None:
    model = build(
        "vgg", input_shape=(3, 32, 32), n_classes=10, zero_point=(1, 2, 3), order="pool-norm"
    )
    assert list(layers(model))[3:7] == ["128-128C3", "MP2", "BN", "sign"]
    with pytest.raises(UsageError, match="an order out of norm-pool, pool-norm, got 'pool'"):
        build("vgg", input_shape=(3, 8, 8), n_classes=2, zero_point=None, order="pool")


def test_vgg_small_is_the_vgg_without_dense_layers() -> None:
    vgg, small_one = (
        build(name, input_shape=(3, 32, 32), n_classes=10, zero_point=(1, 2, 3))
        for name in ("vgg", "vgg-small")
    )
    assert list(layers(small_one)) == [*list(layers(vgg))[:-7], "8192-10FC"]


def test_real_features_of_vgg_small_are_scaled_and_the_logits_start_as_large() -> None:
    options = {"width": 4, "features": "real", "feature_scale": 0.25}
    model = build("vgg-small", input_shape=(3, 16, 16), n_classes=5, zero_point=None, **options)
    features, classifier = (model.get_submodule(name) for name in ("features", "classifier"))
    assert isinstance(classifier, nn.Linear)
    x = torch.randn(6, 3, 16, 16)
    model.eval()
    found = features(x)
    assert found.abs().max() <= 1
    assert found.unique().numel() > 2
    want = nn.functional.linear(found / 4, classifier.weight, classifier.bias)
    torch.testing.assert_close(model(x), want)
    bound = 4 / classifier.in_features**0.5  # torch's own, times 4
    assert 0.9 * bound < classifier.weight.abs().max() <= bound
    with pytest.raises(UsageError, match="features out of signs, real, got 'both'"):
        build("vgg-small", input_shape=(3, 8, 8), n_classes=2, zero_point=None, features="both")


def test_batch_norm_starts_as_in_the_paper() -> None:
    for module in small("vgg").modules():
        if isinstance(module, nn.BatchNorm2d):
            assert set(module.weight.tolist()) == {1}
            assert set(module.bias.tolist()) == {0}
