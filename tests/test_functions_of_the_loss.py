"""Functions of the loss against exact enumeration: no bias, and variances in their order."""

from collections.abc import Callable

import pytest
import torch
from exact_gradient import DOUBLE, NOISES, A, all_signs, exact_gradient, probabilities, rugged
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn import estimators

FUNCTIONS: dict[str, Callable[[Callable[[Tensor], Tensor], Tensor, str], Tensor]] = {
    "reinforce": lambda f, a, n: estimators.reinforce(f, a, noise=n),
    "reinforce, baseline": lambda f, a, n: estimators.reinforce(f, a, noise=n, baseline=1.5),
    "reinforce, leave-one-out": lambda f, a, n: estimators.reinforce(f, a, noise=n, samples=3),
    "arm": lambda f, a, n: estimators.arm(f, a, noise=n),
    "arm, 3 samples": lambda f, a, n: estimators.arm(f, a, noise=n, samples=3),
    "disarm": lambda f, a, n: estimators.disarm(f, a, noise=n),
    "local expectations": lambda f, a, n: estimators.local_expectations(f, a, noise=n),
}


def estimates(name: str, noise: str, n: int = 40_000) -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    a = A.expand(n, 3).clone().requires_grad_()
    losses = FUNCTIONS[name](rugged, a, noise)
    (gradient,) = torch.autograd.grad(losses.sum(), a)
    return losses, gradient


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_the_loss_are_unbiased(name: str, noise: str) -> None:
    """|z| < 4.5 for each of 3 numbers in 21 cases: false alarm with P < 5e-4 in all."""
    _, gradient = estimates(name, noise)
    standard_error = gradient.std(0) / len(gradient) ** 0.5
    z = (gradient.mean(0) - exact_gradient(rugged, A, noise)) / standard_error
    assert z.abs().max() < 4.5


@pytest.mark.parametrize("name", FUNCTIONS)
def test_their_value_is_the_loss(name: str) -> None:
    losses, _ = estimates(name, "logistic")
    signs = all_signs(3)
    expected = (probabilities(A, "logistic", signs) * rugged(signs)).sum()
    z = (losses.mean() - expected) / losses.std() * len(losses) ** 0.5
    assert z.abs() < 4


def test_the_order_of_their_variances() -> None:
    variance = {name: estimates(name, "logistic")[1].var(0).sum().item() for name in FUNCTIONS}
    assert variance["local expectations"] < variance["disarm"] < variance["arm"]
    assert variance["arm"] < variance["reinforce, baseline"]


def test_more_samples_have_less_variance() -> None:
    one, three = (estimates(name, "logistic")[1].var(0) for name in ("arm", "arm, 3 samples"))
    torch.testing.assert_close(one / three, torch.full((3,), 3.0, dtype=DOUBLE), rtol=0.1, atol=0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_of_the_loss_get_their_usual_gradient(name: str) -> None:
    torch.manual_seed(5)
    a = torch.randn(6, 2, 3, requires_grad=True)
    scale = torch.tensor(2.0, requires_grad=True)
    losses = FUNCTIONS[name](lambda x: scale * x.square().flatten(1).sum(1), a, "logistic")
    of_scale, of_a = torch.autograd.grad(losses.sum(), (scale, a))
    assert of_scale == 36
    assert of_a.shape == a.shape


def test_what_functions_of_the_loss_refuse() -> None:
    a = torch.zeros(4, 2)
    with pytest.raises(UsageError, match=r"one number for each of 4 examples.*reduction='none'"):
        estimators.arm(lambda x: x.sum(), a)
    with pytest.raises(UsageError, match=r"expected a noise for disarm.*use logistic"):
        estimators.disarm(lambda x: x.sum(1), a, noise="none")
    with pytest.raises(UsageError, match="samples of reinforce to be a positive int, got 0"):
        estimators.reinforce(lambda x: x.sum(1), a, samples=0)
    with pytest.raises(UsageError, match=r"baseline of shape \(\) or \(4,\), got \(2,\)"):
        estimators.reinforce(lambda x: x.sum(1), a, baseline=torch.zeros(2))
