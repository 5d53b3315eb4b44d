"""Weight rules against their definitions: proximal problems, closed forms, finite differences."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import bnnkit.nn as bnn
from bnnkit.nn.weight_rules import AdaSte, Bop, ProxQuant, ReCu, WeightRule, get_weight_rule
from bnnkit.nn.weight_rules.adaste import inner_minimum, slope
from bnnkit.nn.weight_rules.proxquant import prox

DOUBLE = torch.float64
STEP = 0.05


def latents(n: int = 200, spread: float = 1.0) -> Tensor:
    torch.manual_seed(0)
    return spread * torch.randn(n, dtype=DOUBLE)


def stepped(rule: str | WeightRule, latent: Tensor, upstream: Tensor, **options: object) -> Tensor:
    """The latent weights after a step of SGD on sum(upstream w), completed by the rule."""
    weight = bnn.BinaryWeight(None, rule, options)
    model = bnn.BinaryLinear(latent.numel(), 1)
    model.binary_weight, model.latent = weight, torch.nn.Parameter(latent.clone().view(1, -1))
    weight.rule.prepare(model.latent)
    optimizer = torch.optim.SGD(bnn.latent_parameters(model), lr=STEP)
    bnn.attach_rules(model, optimizer)
    (upstream * model.binary_weight(model.latent)).sum().backward()
    optimizer.step()
    return model.latent.detach().view(-1)


def bregman(noise: bnn.Noise, theta: Tensor, start: Tensor) -> Tensor:
    """D(theta, start) of the mirror map whose gradient is F^-1, by the trapezoidal rule."""
    share = torch.linspace(0, 1, 20_001, dtype=DOUBLE)[:, None]
    slopes = noise.quantile(start + share * (theta - start)) - noise.quantile(start)
    return torch.trapezoid(slopes, dx=1 / 20_000, dim=0) * (theta - start)


class Laplace(bnn.Noise):
    """Density exp(-|z|) / 2."""

    name = "laplace"

    def cdf(self, x: Tensor) -> Tensor:
        tail = torch.exp(-x.abs()) / 2
        return torch.where(x < 0, tail, 1 - tail)

    def pdf(self, x: Tensor) -> Tensor:
        return torch.exp(-x.abs()) / 2

    def quantile(self, p: Tensor) -> Tensor:
        distance = -torch.log(2 * torch.minimum(p, 1 - p))
        return torch.where(p < 0.5, -distance, distance)


@pytest.mark.parametrize("name", ["logistic", Laplace(), "uniform", "triangular"], ids=str)
def test_proposition_1_sgd_is_mirror_descent_in_the_probabilities(name: str | bnn.Noise) -> None:
    """Inside of the support: the step solves equation 45, and minimises equation 44."""
    noise = bnn.get_noise(name)
    eta, upstream = latents(20).clamp(-0.8, 0.8), torch.randn(20, dtype=DOUBLE)
    weight = bnn.BinaryWeight(noise)
    latent = eta.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(weight(latent), latent, upstream)
    after = eta - STEP * gradient
    start, theta, g = noise.cdf(eta), noise.cdf(after), 2 * upstream
    torch.testing.assert_close(noise.quantile(theta), noise.quantile(start) - STEP * g)

    def objective(x: Tensor) -> Tensor:
        return g * x + bregman(noise, x, start) / STEP

    for change in (-1e-3, 1e-3):
        assert (objective(theta) < objective(theta + change)).all()


def test_the_divergence_of_the_logistic_noise_is_the_kl_divergence() -> None:
    """Up to the factor 2 of F(eta) = sigmoid(2 eta): the natural parameter is 2 eta."""
    noise = bnn.get_noise("logistic")
    p, q = torch.tensor([[0.2, 0.7], [0.4, 0.35]], dtype=DOUBLE)
    kl = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(2 * bregman(noise, p, q), kl, rtol=1e-6, atol=0)


def test_proposition_2_the_step_solves_the_composite_problem() -> None:
    """Equation 54, and the minimum of equation 52 by golden section."""
    eta, upstream = latents(30), torch.randn(30, dtype=DOUBLE)
    epsilon, decay = 2 * STEP, 1 / 10
    torch.manual_seed(1)
    after = stepped("variational-bayes", eta, upstream, n_examples=10)
    g = 2 * upstream
    torch.testing.assert_close(2 * after, (2 * eta - epsilon * g) / (1 + epsilon * decay))
    start = torch.sigmoid(2 * eta)

    def objective(theta: Tensor) -> Tensor:
        kl = theta * (theta / start).log() + (1 - theta) * ((1 - theta) / (1 - start)).log()
        entropy = -theta * theta.log() - (1 - theta) * (1 - theta).log()
        return g * theta + kl / epsilon - decay * entropy

    theta = minimum(objective, torch.zeros(30, dtype=DOUBLE), torch.ones(30, dtype=DOUBLE))
    torch.testing.assert_close(torch.sigmoid(2 * after), theta, rtol=0, atol=1e-7)


def minimum(function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Of convex functions, elementwise, by golden section."""
    ratio = (5**0.5 - 1) / 2
    for _ in range(80):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        is_left = function(left) < function(right)
        low, high = torch.where(is_left, low, left), torch.where(is_left, right, high)
    return (low + high) / 2


def test_projected_gradient_projects_the_probabilities() -> None:
    """Equation 10 with a quarter of the step is equation 11."""
    eta, upstream = latents(50).clamp(-1, 1), 30 * torch.randn(50, dtype=DOUBLE)
    after = stepped("projected-gradient", eta, upstream)
    theta = ((eta + 1) / 2 - STEP / 4 * 2 * upstream).clamp(0, 1)
    torch.testing.assert_close((after + 1) / 2, theta)
    assert (after.abs() == 1).any()


def energy(w: Tensor, t: Tensor, mu: float, alpha: float) -> Tensor:
    return (w - t).square() / 2 + mu / 2 * (1 + alpha - w.abs()).square()


MU_ALPHA = [(0.01, 0.01), (0.5, 0.1), (3.0, 0.2), (5.0, 0.2), (200.0, 0.01), (1.0, 3.0)]


@pytest.mark.parametrize(("mu", "alpha"), MU_ALPHA)
def test_adaste_has_the_minimum_of_its_inner_problem(mu: float, alpha: float) -> None:
    """Against a grid over [-1, 1]: no w of it has less energy, nor one far away as little."""
    t = latents(300, 2.0)
    grid = torch.linspace(-1, 1, 20_001, dtype=DOUBLE)[:, None]
    energies = energy(grid, t, mu, alpha)
    w = inner_minimum(t, torch.tensor(mu, dtype=DOUBLE), alpha)
    assert (energy(w, t, mu, alpha) <= energies.min(0).values + 1e-12).all()
    torch.testing.assert_close(grid[energies.argmin(0), 0], w, rtol=0, atol=1.1e-4)
    if mu * alpha >= 1:
        assert torch.equal(w, t.sign())


@pytest.mark.parametrize("reach", [1.0, 2.0])
@pytest.mark.parametrize(("mu", "alpha"), MU_ALPHA)
def test_adaste_slope_is_the_finite_difference(mu: float, alpha: float, reach: float) -> None:
    """(w* - w^) / (beta l') with w^ = s(eta - beta l'): beta as chosen, or going to 0."""
    t, gradient = latents(300, 2.0), torch.randn(300, dtype=DOUBLE)
    at = torch.tensor(mu, dtype=DOUBLE)
    got = slope(t, gradient, at, alpha, reach, float("inf"))
    pulled = t * gradient > 0
    # Just beyond the jump for reach 1, where the minimum is from the other side.
    beta = torch.where(pulled, (reach + 1e-9) * t.abs() / gradient.abs(), 1e-7 / gradient.abs())
    difference = inner_minimum(t, at, alpha) - inner_minimum(t - beta * gradient, at, alpha)
    smooth = ((t.abs() - (1 - mu * alpha)).abs() > 1e-6) & (t.abs() > 1e-6)
    torch.testing.assert_close(
        got[smooth], (difference / (beta * gradient))[smooth], rtol=1e-6, atol=1e-6
    )
    assert torch.equal(slope(t, gradient, at, alpha, reach, 0.5) <= 0.5, ~(~pulled & (got > 0.5)))


def test_adaste_is_symmetric_and_boosts_only_where_the_loss_turns_the_sign() -> None:
    t, gradient = latents(100, 3.0), torch.randn(100, dtype=DOUBLE)
    mu = torch.tensor(0.3, dtype=DOUBLE)
    got = slope(t, gradient, mu, 0.1, 1.0, 0.5)
    assert torch.equal(got, slope(-t, -gradient, mu, 0.1, 1.0, 0.5))
    saturated = t.abs() > 1
    assert (got[saturated & (t * gradient > 0)] > 0).all()
    assert (got[saturated & (t * gradient < 0)] == 0).all()


@pytest.mark.parametrize(("mu", "plain"), [(0.3, 1 / 1.3), (10.0, 1.0)])
def test_adaste_of_small_gradients_is_a_plain_straight_through_estimator(
    mu: float, plain: float
) -> None:
    t, gradient = latents(300, 3.0), torch.randn(300, dtype=DOUBLE)
    at = torch.tensor(mu, dtype=DOUBLE)
    expected = [
        plain if abs(g) <= 0.4 else float(slope(x, g, at, 0.1, 1.0, 0.5))
        for x, g in zip(t, gradient, strict=True)
    ]
    got = slope(t, gradient, at, 0.1, 1.0, 0.5, 0.4)
    assert torch.equal(got, torch.tensor(expected, dtype=DOUBLE))
    assert (got[(gradient.abs() > 0.4) & (t.abs() > 1) & (t * gradient < 0)] == 0).all()


def test_adaste_anneals_to_signs() -> None:
    layer = bnn.BinaryLinear(500, 4, weight_rule="adaste")
    with torch.no_grad():
        layer.latent.mul_(5)
    w = layer.binary_weight(layer.latent)
    assert ((w > -1) & (w < 1)).any()
    rule = layer.binary_weight.rule
    assert isinstance(rule, AdaSte)
    torch.testing.assert_close(rule.current_mu(), torch.tensor(0.01))
    for progress in (0.27, 0.5, 1.0):
        bnn.set_progress(layer, progress)
        assert torch.equal(layer.binary_weight(layer.latent), layer.latent.sign())
    (w * torch.randn_like(w)).sum().backward()
    at_once = get_weight_rule("adaste", {"exact_from": 0})
    small = torch.tensor([1e-6, -1e-6, 0.3])
    assert at_once(small, bnn.get_noise("none")).tolist() == [1, -1, 1]


@pytest.mark.parametrize("beta", [0.7, 3.0])
def test_md_tanh_is_mirror_descent_in_the_mean(beta: float) -> None:
    """w <- (E - 1)/(E + 1), E = (1 + w)/(1 - w) exp(-2 lr beta dL/dw)."""
    eta, upstream = latents(50), torch.randn(50, dtype=DOUBLE)
    after = stepped("md-tanh", eta, upstream, first_beta=beta)
    w = torch.tanh(beta * eta)
    e = (1 + w) / (1 - w) * torch.exp(-2 * STEP * beta * upstream)
    torch.testing.assert_close(torch.tanh(beta * after), (e - 1) / (e + 1))


def test_md_softmax_is_the_step_in_two_logits() -> None:
    eta, upstream = latents(50), torch.randn(50, dtype=DOUBLE)
    after = stepped("md-softmax", eta, upstream, first_beta=1.5)
    logits = torch.stack([eta / 2, -eta / 2])
    # The loss has gradient dL/dw at p and -dL/dw at q; the softmax is passed by.
    logits = logits - STEP * torch.stack([upstream, -upstream])
    p, q = torch.softmax(1.5 * logits, 0)
    torch.testing.assert_close(torch.tanh(1.5 * after / 2), p - q)


def test_pmf_is_the_step_through_the_softmax() -> None:
    eta, upstream = latents(50), torch.randn(50, dtype=DOUBLE)
    after = stepped("pmf", eta, upstream, first_beta=1.5)
    logits = torch.stack([eta / 2, -eta / 2]).requires_grad_()
    p, q = torch.softmax(1.5 * logits, 0)
    (gradient,) = torch.autograd.grad(((p - q) * upstream).sum(), logits)
    u, v = (logits - STEP * gradient).detach()
    torch.testing.assert_close(after, u - v)


def test_the_sharpness_grows_to_signs() -> None:
    for name in ("md-tanh", "md-softmax", "pmf"):
        layer = bnn.BinaryLinear(50, 4, weight_rule=name)
        assert layer.binary_weight(layer.latent).abs().max() < 0.5
        bnn.set_progress(layer, 1.0)
        assert layer.binary_weight(layer.latent).abs().mean() > 0.95


@pytest.mark.parametrize("strength", [0.1, 0.7])
def test_the_prox_of_proxquant_is_the_minimum(strength: float) -> None:
    t = latents(300, 1.5)
    grid = torch.linspace(-6, 6, 60_001, dtype=DOUBLE)[:, None]
    objective = (grid - t).square() / 2 + strength * (grid.abs() - 1).abs()
    best = grid[objective.argmin(0), 0]
    torch.testing.assert_close(prox(t, strength), best, rtol=0, atol=2e-4)


def test_proxquant_steps_and_freezes() -> None:
    rule = ProxQuant(strength=2.0, freeze_from=0.5)
    rule.progress.fill_(0.25)
    eta, upstream = latents(50), torch.randn(50, dtype=DOUBLE)
    torch.testing.assert_close(
        stepped(rule, eta, upstream), prox(eta - STEP * upstream, STEP * 1.0)
    )
    rule.progress.fill_(0.5)
    latent = eta.clone().requires_grad_()
    weight = rule(latent, bnn.get_noise("none"))
    assert torch.equal(weight, eta.sign())
    (gradient,) = torch.autograd.grad(weight.sum(), latent)
    assert not gradient.any()
    rule.after_step(moved := eta + 0.01, 0.1)
    assert torch.equal(moved, (eta + 0.01).sign())


def test_bop_is_its_own_update() -> None:
    """Against Helwegen et al.'s algorithm for 60 steps, with gradients that change sign."""
    torch.manual_seed(2)
    gamma, tau = 0.1, 0.02
    layer = bnn.BinaryLinear(300, 1, weight_rule="bop", weight_rule_options={"threshold": tau})
    layer = layer.double()
    w = layer.binary_weight(layer.latent).detach()
    m = torch.zeros_like(w)
    optimizer = torch.optim.SGD([layer.latent], lr=gamma)
    bnn.attach_rules(layer, optimizer)
    flips = 0
    for _ in range(60):
        gradient = 0.1 * torch.randn_like(w)
        optimizer.zero_grad()
        (layer.binary_weight(layer.latent) * gradient).sum().backward()
        optimizer.step()
        m = (1 - gamma) * m + gamma * gradient
        is_flipped = (m.abs() > tau) & (m.sign() == w.sign())
        w, flips = torch.where(is_flipped, -w, w), flips + int(is_flipped.sum())
        assert torch.equal(layer.binary_weight(layer.latent), w)
        assert torch.equal(layer.eval().binary_weight(layer.latent), w)
        layer.train()
    assert flips > 100
    assert not torch.equal(w.sign(), layer.latent.sign()), "weights below the threshold stay"
    copy = bnn.BinaryLinear(300, 1, weight_rule="bop").double()
    copy.load_state_dict(layer.state_dict())
    assert isinstance(copy.binary_weight.rule, Bop)
    assert torch.equal(copy.binary_weight.rule.weight, w)


@pytest.mark.parametrize("temperature", [1.0, 1e-10])
def test_bayesbinn_is_its_own_update(temperature: float) -> None:
    eta, upstream = latents(50), torch.randn(50, dtype=DOUBLE)
    rule = get_weight_rule("bayesbinn", {"temperature": temperature, "n_examples": 10})
    latent = eta.clone().requires_grad_()
    weight = rule(latent, bnn.get_noise("logistic"))
    (gradient,) = torch.autograd.grad(weight, latent, upstream)
    w = weight.detach()
    scale = (1 - w**2 + 1e-10) / temperature / (1 - torch.tanh(eta) ** 2 + 1e-10)
    torch.testing.assert_close(gradient, scale * upstream)
    if temperature < 1e-3:
        assert set(w.abs().tolist()) == {1.0}
    rule.after_step(decayed := eta.clone(), STEP)
    torch.testing.assert_close(decayed, (1 - STEP / 10) * eta)


def test_recu_clamps_the_tails() -> None:
    torch.manual_seed(5)
    eta, upstream = torch.randn(6, 40, dtype=DOUBLE), torch.randn(6, 40, dtype=DOUBLE)
    rule = ReCu()
    assert rule.current_tau().item() == pytest.approx(0.85)
    latent = eta.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(rule(latent, bnn.get_noise("none")), latent, upstream)
    difference = latent - latent.mean(1, keepdim=True)
    v = difference / difference.square().mean(1, keepdim=True).sqrt()
    limit = -v.abs().mean().item() * torch.log(torch.tensor(0.3)).item()
    inside = v.abs() <= limit
    assert 0.05 < (~inside).double().mean() < 0.4
    (expected,) = torch.autograd.grad(torch.where(inside, v, 0), latent, upstream)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)
    rule.progress.fill_(1.0)
    assert rule.current_tau().item() == pytest.approx(0.99)


def test_a_schedule_is_not_saved() -> None:
    layer = bnn.BinaryLinear(8, 2, weight_rule="md-tanh")
    assert list(layer.state_dict()) == ["latent"]
