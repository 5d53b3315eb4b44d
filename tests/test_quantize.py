"""Activations of two to four bits: levels, gradients, noise and arguments."""

import warnings

import pytest
import torch
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.errors import UsageError


def nearest(a: Tensor, bits: int, signed: bool, step: float) -> Tensor:
    """The obvious way: the nearest level, the greater one of two."""
    most = 2**bits - 1
    levels = torch.arange(-most, most + 1, 2) if signed else torch.arange(most + 1)
    unit = step / 2 if signed else step
    distance = (a[..., None].double() - levels * unit).abs()
    greatest = distance.flip(-1).argmin(-1)
    return levels.flip(0)[greatest].float()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_output_is_the_nearest_level(bits: int, signed: bool) -> None:
    """Also on thresholds, which are multiples of 1/8 here."""
    a = torch.arange(-40, 41) / 8
    for training in (True, False):
        layer = bnn.Quantize(bits, signed, step=0.5).train(training)
        assert torch.equal(layer(a), nearest(a, bits, signed, 0.5))


def test_one_bit_would_be_sign() -> None:
    """The estimators and noises are those of Sign, so their derivatives at one threshold agree."""
    a = torch.linspace(-0.4, 0.4, 9, requires_grad=True)
    layer = bnn.Quantize(2, step=2.0, estimator="approx-sign")
    (found,) = torch.autograd.grad(layer(a).sum(), a)
    (wanted,) = torch.autograd.grad(bnn.Sign("none", "approx-sign")(a).sum(), a)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(("signed", "slope"), [(True, 4.0), (False, 2.0)])
def test_derivative_for_uniform_noise_is_a_clipped_identity(signed: bool, slope: float) -> None:
    a = torch.tensor([-9.0, -0.3, 0.1, 0.3, 0.6, 9.0], requires_grad=True)
    (found,) = torch.autograd.grad(bnn.Quantize(2, signed, step=0.5)(a).sum(), a)
    inside = torch.tensor([0, 1 if signed else 0, 1, 1, 1, 0])
    assert torch.equal(found, slope * inside)


def test_identity_is_counted_once() -> None:
    a = torch.tensor([-9.0, 0.1], requires_grad=True)
    layer = bnn.Quantize(3, step=1.0, estimator="identity-st").eval()
    (found,) = torch.autograd.grad(layer(a).sum(), a)
    assert torch.equal(found, torch.full((2,), 2.0))


def test_stochastic_rounding_is_unbiased_between_the_outer_levels() -> None:
    torch.manual_seed(0)
    a = torch.tensor([-2.5, -1.0, 0.3, 2.0]).expand(40000, 4)
    layer = bnn.Quantize(2, step=2.0, estimator="st")
    drawn = layer(a)
    assert set(drawn.unique().tolist()) == {-3, -1, 1, 3}
    assert (drawn.mean(0) - a[0]).abs().max() < 0.03  # 6 standard deviations
    assert torch.equal(layer.eval()(a), bnn.Quantize(2, step=2.0)(a))


def test_a_learned_step_gets_the_gradient_of_lsq() -> None:
    """d/ds of a / s where the derivative is not 0, by 1 / sqrt(3 levels * 4 activations)."""
    layer = bnn.Quantize(2, step=0.5, learned=True)
    a = torch.tensor([-9.0, -0.3, 0.1, 0.4])
    layer(a).sum().backward()
    assert isinstance(layer.step, nn.Parameter)
    assert layer.step.grad is not None
    wanted = 2 * (-(a[1:]) / 0.25).sum() / 12**0.5
    torch.testing.assert_close(layer.step.grad, wanted)
    layer.eval()
    assert torch.equal(layer(a), nearest(a, 2, True, 0.5))


def test_keeps_dtype_and_shape() -> None:
    a = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    layer = bnn.Quantize(2)
    assert layer(a).dtype == torch.bfloat16
    assert layer(a).shape == a.shape
    assert torch.equal(layer(a[:0]), a[:0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bits": 1}, "expected 2 to 4 bits"),
        ({"bits": 5}, "expected 2 to 4 bits"),
        ({"bits": 2.0}, "expected bits to be an int"),
        ({"signed": 1}, "expected signed to be True or False"),
        ({"step": 0.0}, "expected a step above 0"),
        ({"step": -1.0}, "a step to be a finite number"),
        ({"estimator": "gumbel-softmax"}, "elementwise derivative"),
        ({"noise": "gauss"}, "expected a noise out of"),
        ({"temperature": 1.0}, "options of deterministic-st"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        bnn.Quantize(**arguments)  # type: ignore[arg-type]


def test_integers_are_refused() -> None:
    with pytest.raises(UsageError, match="floating-point input of Quantize"):
        bnn.Quantize()(torch.ones(3, dtype=torch.int32))


def test_an_empty_batch() -> None:
    layer = bnn.Quantize(2, learned=True).train()
    layer(torch.zeros(0, 3)).sum().backward()
    assert layer.step.grad == 0


def test_other_layouts_do_not_warn() -> None:
    torch.set_warn_always(True)
    images = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        levels = bnn.Quantize(bits=2)(images)
    torch.set_warn_always(False)
    assert torch.equal(levels, bnn.Quantize(bits=2)(images.contiguous()))
