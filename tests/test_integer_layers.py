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
from torch.nn import functional

from bnnkit.errors import UsageError
from bnnkit.nn import IntegerConv2d, IntegerLinear
from bnnkit.nn.integer_grid import grid_exponent, power_of_two

LARGEST_SUM = 2**24 - 1


def random_images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def with_weight(layer: IntegerLinear, weight: Tensor) -> IntegerLinear:
    with torch.no_grad():
        layer.weight.copy_(weight)
    layer.refit()
    return layer


def steps(layer: IntegerConv2d | IntegerLinear) -> Tensor:
    """2**exponent, float64 (O,)."""
    return torch.tensor([2.0**e for e in layer.exponent.tolist()], dtype=torch.float64)


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"stride": (2, 2), "padding": (1, 1)},
        {"padding": (2, 0), "dilation": (2, 1)},
        {"groups": 2, "padding": (1, 2)},
        {"groups": 4, "stride": (2, 1), "dilation": (1, 2), "padding": (3, 3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_convolution_equals_int64(geometry: dict[str, Any], training: bool) -> None:
    """Padding adds pixels equal to the zero point, which count as 0."""
    torch.manual_seed(0)
    zero_point = [0, 255, 33, 128]
    layer = IntegerConv2d(4, 8, 3, **geometry, zero_point=zero_point).train(training)
    x = random_images(2, 4, 9, 8)
    centred = x.long() - torch.tensor(zero_point).view(4, 1, 1)
    sums = convolve(centred, layer.integer_weight(), **geometry)
    np.testing.assert_array_equal(
        layer(x).detach().double(), sums * steps(layer).view(-1, 1, 1).numpy()
    )


@pytest.mark.parametrize("inputs", [1, 7, 784])
def test_linear_equals_int64(inputs: int) -> None:
    torch.manual_seed(inputs)
    zero_point = torch.randint(0, 256, (inputs,)).tolist()
    layer = IntegerLinear(inputs, 9, zero_point=zero_point).eval()
    x = random_images(4, inputs)
    sums = (x.long() - torch.tensor(zero_point)) @ layer.integer_weight().long().T
    assert torch.equal(layer(x).double(), sums * steps(layer))


def test_float_inputs_that_hold_integers() -> None:
    layer = IntegerConv2d(3, 4, 3, zero_point=[1, 2, 3])
    x = random_images(2, 3, 6, 6)
    assert torch.equal(layer(x), layer(x.float()))


def test_one_zero_point_for_all_features() -> None:
    assert IntegerLinear(3, 2, zero_point=7).zero_point.tolist() == [7, 7, 7]


@pytest.mark.parametrize("n_weights", [1, 9, 75, 3072, 300_000])
@pytest.mark.parametrize(
    "kind", ["equal", "one large", "heavy tails", "just above a half", "tiny", "zero"]
)
def test_no_image_can_exceed_the_exact_range(n_weights: int, kind: str) -> None:
    torch.manual_seed(1)
    weight = {
        "equal": torch.full((2, n_weights), 0.3),
        "one large": torch.full((2, n_weights), 1e-6).index_fill_(1, torch.tensor(0), 1.0),
        "heavy tails": torch.randn(2, n_weights) ** 5,
        # The smallest values that still round away from 0, beside one that sets the step.
        "just above a half": torch.full((2, n_weights), 0.501 / 1024).index_fill_(
            1, torch.tensor(0), 1.9
        ),
        "tiny": torch.full((2, n_weights), 1e-38),
        "zero": torch.zeros(2, n_weights),
    }[kind]
    layer = with_weight(IntegerLinear(n_weights, 2, zero_point=0), weight)
    w = layer.integer_weight()
    assert w.dtype == torch.int16
    assert w.abs().max() <= 2047
    assert 255 * w.long().abs().sum(1).max() <= LARGEST_SUM


@settings(deadline=None, max_examples=25)
@given(
    n_weights=st.integers(1, 2000),
    scale=st.floats(-20, 20),
    power=st.integers(1, 5),
    seed=st.integers(0, 999),
)
def test_the_grid_is_the_finest_one(n_weights: int, scale: float, power: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, n_weights, generator=generator) ** power * 2**scale
    size = weight.double().abs()
    limit = max(65792 - n_weights / 2, 65792 / 2)

    def fits(exponent: Tensor) -> Tensor:
        step = torch.tensor([2.0**e for e in exponent.tolist()], dtype=torch.float64)
        return (size.amax(1) / step <= 2047) & (size.sum(1) / step <= limit)

    exponent = grid_exponent(weight)
    assert fits(exponent).all()
    assert not fits(exponent - 1).any()


def test_each_channel_has_its_own_grid() -> None:
    weight = torch.tensor([[2047.0], [2047.5], [1.0], [2047 / 2**20]])
    assert grid_exponent(weight).tolist() == [0, 1, -10, -20]


def test_powers_of_two_are_exact() -> None:
    exponent = torch.arange(-126, 128, dtype=torch.int32)
    assert power_of_two(exponent).tolist() == [2.0**e for e in range(-126, 128)]


def test_extreme_images_are_exact() -> None:
    torch.manual_seed(2)
    layer = with_weight(IntegerLinear(3072, 64, zero_point=0), torch.randn(64, 3072)).eval()
    w = layer.integer_weight().long()
    x = torch.where(w > 0, 255, 0).to(torch.uint8)  # row k gives channel k its largest sum
    assert torch.equal(layer(x).double(), (x.long() @ w.T) * steps(layer))


def test_weights_are_rounded_to_the_nearest_point_of_the_grid() -> None:
    weight = torch.tensor([[2047.0, 0.5, 1.5, -2.5, 0.4, -0.6]])
    layer = with_weight(IntegerLinear(6, 1, zero_point=0), weight)
    assert layer.integer_weight().tolist() == [[2047, 0, 2, -2, 0, -1]]


def test_gradient_is_the_plain_layers() -> None:
    torch.manual_seed(3)
    layer = IntegerConv2d(2, 4, 3, padding=1, zero_point=[100, 50])
    x, upstream = random_images(3, 2, 5, 5), torch.randint(-3, 4, (3, 4, 5, 5)).float()
    layer(x).backward(upstream)
    weight = layer.weight.detach().clone().requires_grad_()
    centred = x.float() - torch.tensor([100.0, 50.0]).view(2, 1, 1)
    plain = functional.conv2d(centred, weight, padding=1)
    (expected,) = torch.autograd.grad(plain, weight, upstream)
    assert layer.weight.grad is not None
    assert torch.equal(layer.weight.grad, expected)  # integer sums: exact


def test_autocast_does_not_round() -> None:
    layer = IntegerConv2d(3, 4, 5, zero_point=[9, 9, 9])
    x = random_images(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, layer(x))


def test_training_fits_the_grid_in_every_forward() -> None:
    layer = IntegerLinear(4, 2, zero_point=0)
    before = layer.exponent.clone()
    with torch.no_grad():
        layer.weight.mul_(8)
    layer(random_images(1, 4))
    assert torch.equal(layer.exponent, before + 3)


def test_evaluation_keeps_the_grid() -> None:
    layer = IntegerLinear(4, 2, zero_point=0).eval()
    before = layer.exponent.clone()
    with torch.no_grad():
        layer.weight.mul_(0.01)
    layer(random_images(1, 4))
    layer.eval()
    assert torch.equal(layer.exponent, before)


def test_the_optimisers_last_step_is_fitted_when_training_ends() -> None:
    layer = IntegerLinear(4, 2, zero_point=0)
    layer(random_images(1, 4))
    before = layer.exponent.clone()
    with torch.no_grad():
        layer.weight.mul_(4)
    nn.Sequential(layer).eval()
    assert torch.equal(layer.exponent, before + 2)


def test_state_dict_round_trip() -> None:
    layer = IntegerConv2d(2, 3, 3, zero_point=[4, 5]).eval()
    other = IntegerConv2d(2, 3, 3, zero_point=[0, 0])
    assert list(layer.state_dict()) == ["weight", "exponent", "zero_point"]
    other.load_state_dict(layer.state_dict())
    x = random_images(1, 2, 6, 6)
    assert torch.equal(layer(x), other.eval()(x))
    assert torch.equal(layer(x), deepcopy(layer)(x))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's
def test_compiles_without_a_graph_break() -> None:
    layer = IntegerConv2d(3, 4, 3, zero_point=[1, 2, 3])
    x = random_images(2, 3, 5, 5)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), layer(x))


@pytest.mark.parametrize(
    ("zero_point", "message"),
    [
        ([1], "expected 2 zero points, one for each input, got 1"),
        ([1, 2, 3], "expected 2 zero points, one for each input, got 3"),
        ([0, 256], "ints from 0 to 255, got 256"),
        ([-1, 0], "ints from 0 to 255, got -1"),
        ([0.5, 1], "ints from 0 to 255, got 0.5"),
        (256, "ints from 0 to 255, got 256"),
        ("ab", "ints from 0 to 255, got 'a'"),
        (None, "ints from 0 to 255, got None"),
    ],
    ids=str,
)
def test_impossible_zero_points(zero_point: list[int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        IntegerConv2d(2, 3, 3, zero_point=zero_point)


@pytest.mark.parametrize("point", [78, np.int64(78)])
def test_one_zero_point_for_all_channels(point: int) -> None:
    assert IntegerConv2d(2, 3, 3, zero_point=point).zero_point.tolist() == [78, 78]


def test_images_in_0_to_1_are_refused_once() -> None:
    layer = IntegerConv2d(1, 2, 3, zero_point=[9])
    images = torch.rand(2, 1, 4, 4)
    with pytest.raises(UsageError, match=r"integers from 0 to 255, got .*; multiply .* by 255"):
        layer(images)
    with pytest.raises(UsageError, match="integers from 0 to 255"):
        layer.eval()(images * 1000)
    layer((images * 255).round())
    layer(images)  # the first floating-point input is checked, later ones cost nothing


def test_impossible_sizes() -> None:
    with pytest.raises(UsageError, match="expected in_features to be an int of at least 1"):
        IntegerLinear(0, 3, zero_point=0)


@pytest.mark.parametrize("shape", [(1, 1, 5, 5), (2, 5, 5)])
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="4 axes with 2 channels in axis 1, got shape"):
        IntegerConv2d(2, 3, 3, zero_point=[0, 0])(random_images(*shape))


def test_text_of_the_layers() -> None:
    assert "2, 4, kernel_size=(3, 3), zero_point=[1, 2]" in str(
        IntegerConv2d(2, 4, 3, zero_point=[1, 2])
    )
    assert str(IntegerLinear(3, 5, zero_point=0)) == "IntegerLinear(3, 5)"


def test_export_marks_the_convolution() -> None:
    layer = IntegerConv2d(
        2, 4, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, zero_point=[1, 2]
    )
    x = random_images(2, 2, 9, 12)
    (mark,) = exported_marks(nn.Sequential(layer), x)
    assert (mark.operator, mark.scope) == ("IntegerConv2d", "0")
    assert mark.inputs[1:] == ("0.weight", "0.exponent", "0.zero_point")
    attributes = {
        name: list(v) if isinstance(v, tuple | list) else v for name, v in mark.attributes.items()
    }
    assert attributes == {
        "strides": [2, 1],
        "pads": [1, 2, 1, 2],
        "dilations": [1, 2],
        "group": 2,
    }
    assert mark.shape[1:] == layer(x).shape[1:]


def test_export_marks_the_linear_layer() -> None:
    network = nn.Sequential(nn.Flatten(), IntegerLinear(12, 5, zero_point=3))
    (mark,) = exported_marks(network, random_images(2, 3, 2, 2))
    assert (mark.operator, mark.scope, mark.attributes) == ("IntegerLinear", "1", {})
    assert mark.inputs[1:] == ("1.weight", "1.exponent", "1.zero_point")
    assert mark.shape[1:] == (5,)


@pytest.mark.parametrize("groups", [1, 3])
def test_the_first_layer_of_a_normalised_network(groups: int) -> None:
    mean, std = [0.2, 0.4, 0.6], [0.1, 0.25, 0.5]  # 255 mean is an integer
    trained = nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=groups, bias=False).eval()
    layer = IntegerConv2d.from_normalised(trained, mean, std)
    images = random_images(4, 3, 9, 9)
    by_channel = [torch.tensor(values).view(3, 1, 1) for values in (mean, std)]
    expected = trained((images / 255 - by_channel[0]) / by_channel[1])
    assert not layer.training
    assert layer.zero_point.tolist() == [51, 102, 153]
    torch.testing.assert_close(layer(images), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("layer", "mean", "std", "message"),
    [
        (nn.Linear(3, 4), [0.5], [0.5], "a torch.nn.Conv2d, got Linear"),
        (nn.Conv2d(1, 4, 3), [0.5], [0.5], "without a bias"),
        (nn.Conv2d(1, 4, 3, padding="same", bias=False), [0.5], [0.5], "got padding 'same'"),
        (nn.Conv2d(3, 4, 3, bias=False), [0.5], [0.5], "of 3 channels, got 1 and 1"),
        (nn.Conv2d(1, 4, 3, bias=False), [128], [0.5], "means of pixels in 0..1"),
        (nn.Conv2d(1, 4, 3, bias=False), [0.5], [0.0], "deviations above 0"),
    ],
)
def test_a_first_layer_that_cannot_be_taken_over(
    layer: nn.Conv2d, mean: list[float], std: list[float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        IntegerConv2d.from_normalised(layer, mean, std)
