from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bnnkit.errors import UsageError
from bnnkit.nn import BinaryWeight, Logistic, get_noise

NAMES = ["logistic", "uniform", "triangular"]


@pytest.mark.parametrize("name", NAMES)
def test_frequencies_follow_the_cdf(name: str) -> None:
    """Algorithm 2, forward. Chi-square with 9 degrees of freedom: below 27.9 with P = 0.999."""
    torch.manual_seed(1)
    n, latent = 20_000, torch.linspace(-0.9, 0.9, 9)
    p = get_noise(name).cdf(latent)
    positive = (BinaryWeight(name)(latent.expand(n, 9)) > 0).sum(0)
    assert ((positive - n * p) ** 2 / (n * p * (1 - p))).sum() < 27.9


@pytest.mark.parametrize("name", [*NAMES, "none"])
@pytest.mark.parametrize("training", [True, False])
def test_gradient_is_twice_the_upstream_one(name: str, training: bool) -> None:
    """Algorithm 2, backward: exactly 2 dL/dw, however large the latent weight is."""
    torch.manual_seed(2)
    latent, upstream = 5 * torch.randn(50), torch.randn(50)
    latent.requires_grad_()
    BinaryWeight(name).train(training)(latent).backward(upstream)
    assert latent.grad is not None
    assert torch.equal(latent.grad, 2 * upstream)


def loss(w: Tensor) -> Tensor:
    """Multilinear: every power is 1."""
    return 3 * w[0] - w[1] + 0.5 * w[0] * w[1] - 2 * w[1] * w[2]


def probability(theta: Tensor, signs: Tensor) -> Tensor:
    return torch.where(signs > 0, theta, 1 - theta).prod()


def test_estimator_is_the_derivative_in_the_probabilities() -> None:
    """A step in eta along it is one of mirror descent: E[2 dL/dw] = d E[L] / d theta."""
    latent = torch.tensor([0.4, -1.0, 0.2], dtype=torch.float64)
    theta = Logistic().cdf(latent).requires_grad_()
    outcomes = [torch.tensor(s, dtype=torch.float64) for s in product((-1.0, 1.0), repeat=3)]
    expected_loss = torch.stack([probability(theta, w) * loss(w) for w in outcomes]).sum()
    (exact,) = torch.autograd.grad(expected_loss, theta)
    mean_estimate = torch.zeros_like(latent)
    for signs in outcomes:
        # The maximum-probability value of such latent weights is the outcome.
        eta = signs.clone().requires_grad_()
        (estimate,) = torch.autograd.grad(loss(BinaryWeight().eval()(eta)), eta)
        mean_estimate += probability(theta, signs).detach() * estimate
    torch.testing.assert_close(mean_estimate, exact)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_evaluation_takes_the_maximum_probability_value(dtype: torch.dtype) -> None:
    w = BinaryWeight().eval()(torch.tensor([0.0, -0.0, 1e-4, -1e-4, 9.0, -9.0], dtype=dtype))
    assert w.dtype == dtype
    assert w.tolist() == [1, 1, 1, -1, 1, -1]


def test_without_noise_training_equals_evaluation() -> None:
    latent = torch.randn(100)
    assert torch.equal(BinaryWeight("none")(latent), BinaryWeight("none").eval()(latent))


def test_each_forward_draws_new_weights() -> None:
    torch.manual_seed(3)
    weight, latent = BinaryWeight(), torch.zeros(1000)
    assert (weight(latent) != weight(latent)).float().mean().item() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("name", NAMES)
def test_initial_probabilities_are_uniform(name: str) -> None:
    """Kolmogorov-Smirnov: sqrt(n) D stays below 1.95 in all but one of a thousand samples."""
    torch.manual_seed(4)
    n = 50_000
    latent = BinaryWeight(name).initial((n,))
    assert latent.isfinite().all()
    theta = get_noise(name).cdf(latent.double()).sort().values
    assert (theta - torch.arange(n) / n).abs().max() * n**0.5 < 1.95


def test_initial_without_noise_is_uniform_too() -> None:
    latent = BinaryWeight("none").initial((10_000,))
    assert latent.abs().max() <= 1
    assert latent.std().item() == pytest.approx(3**-0.5, abs=0.02)


def test_right_inverse_keeps_signs_and_relative_sizes() -> None:
    weight = torch.tensor([0.3, -0.1, 0.0, 0.2])
    latent = BinaryWeight().right_inverse(weight)
    assert latent.square().mean().sqrt().item() == pytest.approx(0.5)
    torch.testing.assert_close(latent / latent[0], weight / weight[0])


def test_right_inverse_of_zeros_is_zeros() -> None:
    assert BinaryWeight().right_inverse(torch.zeros(3)).tolist() == [0, 0, 0]


def test_as_a_parametrization_of_any_layer() -> None:
    torch.manual_seed(5)
    layer = nn.ConvTranspose1d(2, 3, 4)
    signs = torch.where(layer.weight >= 0, 1.0, -1.0)
    parametrize.register_parametrization(layer, "weight", BinaryWeight())
    assert set(layer.weight.flatten().tolist()) == {-1, 1}
    layer.eval()
    assert torch.equal(layer.weight, signs)


def test_unknown_noise_is_refused() -> None:
    with pytest.raises(UsageError, match="got 'gauss'"):
        BinaryWeight("gauss")
