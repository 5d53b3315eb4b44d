from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from exact_convolution import convolve
from hypothesis import given, settings
from hypothesis import strategies as st
from marks import exported_marks
from torch import Tensor, nn

from bnnkit.errors import UsageError
from bnnkit.nn import BinaryConv2d, BinaryLinear

PADDING_VALUE = {"ones": 1, "zeros": 0}


def random_signs(*shape: int) -> Tensor:
    return torch.randint(0, 2, shape).float() * 2 - 1


def signs_of(latent: Tensor) -> Tensor:
    return torch.where(latent >= 0, 1, -1)


@pytest.mark.parametrize("inputs", [1, 31, 64, 65, 200])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_equals_integer_sums(inputs: int, bias: bool) -> None:
    torch.manual_seed(inputs)
    layer = BinaryLinear(inputs, 7, bias=bias).eval()
    x = random_signs(5, inputs)
    sums = x.long() @ signs_of(layer.latent).long().T
    if layer.bias is not None:
        nn.init.constant_(layer.bias, 0.25)
        sums = sums + 0.25
    assert torch.equal(layer(x), sums.float())


@pytest.mark.parametrize("padding_value", ["ones", "zeros"])
@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"stride": (2, 1), "padding": 1},
        {"padding": (2, 0), "dilation": 2},
        {"groups": 2, "padding": (1, 2)},
        {"groups": 4, "stride": 2, "dilation": (1, 2), "padding": 3},
    ],
    ids=str,
)
def test_convolution_equals_integer_sums(geometry: dict[str, Any], padding_value: str) -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 8, 3, **geometry, padding_value=padding_value).eval()
    x = random_signs(2, 4, 9, 8)
    pairs = {name: pair(value) for name, value in geometry.items() if name != "groups"}
    expected = convolve(
        x,
        signs_of(layer.latent),
        **pairs,
        groups=geometry.get("groups", 1),
        padding_value=PADDING_VALUE[padding_value],
    )
    np.testing.assert_array_equal(layer(x).detach(), expected)


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


@settings(deadline=None, max_examples=25)
@given(
    channels=st.integers(1, 70),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(2, 4), st.integers(2, 4)),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    padding_value=st.sampled_from(["ones", "zeros"]),
)
def test_any_convolution_equals_integer_sums(
    channels: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    size: tuple[int, int],
    padding_value: str,
) -> None:
    torch.manual_seed(channels)
    layer = BinaryConv2d(
        channels, 3, kernel, stride=stride, padding=padding, padding_value=padding_value
    ).eval()
    x = random_signs(2, channels, *size)
    expected = convolve(
        x,
        signs_of(layer.latent),
        stride=stride,
        padding=padding,
        padding_value=PADDING_VALUE[padding_value],
    )
    np.testing.assert_array_equal(layer(x).detach(), expected)


def test_a_convolutions_bias_is_added() -> None:
    layer = BinaryConv2d(2, 3, 1, bias=True).eval()
    x = random_signs(1, 2, 4, 4)
    plain = layer(x)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, 0.5)
    assert torch.equal(layer(x), plain + 0.5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(BinaryLinear(40, 30), (30, 40)), (BinaryConv2d(8, 6, (3, 2), groups=2), (6, 4, 3, 2))],
    ids=["linear", "convolution"],
)
def test_latent_weights(layer: nn.Module, shape: tuple[int, ...]) -> None:
    ((name, latent),) = layer.named_parameters()
    assert (name, latent.shape, latent.dtype) == ("latent", shape, torch.float32)
    assert latent.isfinite().all()
    assert 0.3 < (latent > 0).float().mean().item() < 0.7


def test_training_draws_weights_and_passes_twice_the_gradient() -> None:
    torch.manual_seed(6)
    layer = BinaryLinear(50, 40)
    x = random_signs(3, 50)
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    first.sum().backward()
    assert layer.latent.grad is not None
    assert torch.equal(layer.latent.grad, 2 * x.sum(0).expand(40, 50))


def test_weights_without_noise_are_the_same_in_training() -> None:
    layer = BinaryConv2d(3, 4, 3, noise="none")
    x = random_signs(1, 3, 6, 6)
    assert torch.equal(layer(x), deepcopy(layer).eval()(x))


def test_state_dict_round_trip() -> None:
    layer, other = BinaryConv2d(3, 4, 3, bias=True), BinaryConv2d(3, 4, 3, bias=True)
    assert list(layer.state_dict()) == ["latent", "bias"]
    other.load_state_dict(layer.state_dict())
    x = random_signs(1, 3, 6, 6)
    assert torch.equal(layer.eval()(x), other.eval()(x))


def test_bfloat16_autocast_trains() -> None:
    layer = BinaryConv2d(3, 4, 3, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(random_signs(1, 3, 6, 6))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.latent.grad is not None
    assert layer.latent.grad.any()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's
def test_compiles_without_a_graph_break() -> None:
    layer = BinaryConv2d(3, 4, 3, padding=1).eval()
    x = random_signs(2, 3, 5, 5)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), layer(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"padding_value": "reflect"}, "out of ones, zeros, got 'reflect'"),
        ({"groups": 3}, "in_channels to be a positive multiple of groups=3, got 4"),
        ({"groups": 4}, "out_channels to be a positive multiple of groups=4, got 6"),
        ({"groups": 0}, "groups to be an int of at least 1, got 0"),
        ({"groups": "2"}, "groups to be an int of at least 1, got '2'"),
        ({"bias": "no"}, "bias to be True or False, got 'no'"),
        ({"scale": ["none"]}, r"a scale out of none, learned, mean-abs, got \['none'\]"),
        ({"weight_rule_options": 3}, "options of a weight rule to be a mapping"),
        ({"stride": 0}, "stride to be one or two ints of at least 1, got 0"),
        ({"padding": "same"}, "padding to be one or two ints of at least 0, got 'same'"),
        ({"dilation": (1, 2, 3)}, "dilation to be one or two ints"),
        ({"noise": "gauss"}, "got 'gauss'"),
    ],
    ids=str,
)
def test_impossible_convolutions(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BinaryConv2d(4, 6, 3, **arguments)


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
def test_impossible_linear_layers(sizes: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="features to be an int of at least 1, got 0"):
        BinaryLinear(*sizes)


def test_text_of_the_layers() -> None:
    layers = nn.Sequential(BinaryConv2d(2, 4, 3, stride=2, groups=2), BinaryLinear(3, 5))
    text = str(layers)
    assert "BinaryConv2d(\n    2, 4, kernel_size=(3, 3), stride=(2, 2), groups=2" in text
    assert "3, 5, bias=False" in text
    assert "noise='logistic'" in text


def test_export_marks_the_weights() -> None:
    network = nn.Sequential(
        BinaryConv2d(2, 4, 3, padding=1, noise="uniform"), nn.Flatten(), BinaryLinear(36, 5)
    )
    first, second = exported_marks(network, torch.ones(2, 2, 3, 3))
    assert (first.operator, first.scope, first.inputs, first.attributes, first.shape) == (
        "BinaryWeight",
        "0.binary_weight",
        ("0.latent",),
        {"noise": "uniform"},
        (4, 2, 3, 3),
    )
    assert (second.scope, second.inputs, second.shape) == (
        "2.binary_weight",
        ("2.latent",),
        (5, 36),
    )
