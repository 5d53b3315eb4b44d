"""True gradients against enumeration by hand, metrics against their definitions, Appendix B.2."""

from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from math import cos, pi, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from exact_gradient import DOUBLE, NOISES, A, exact_gradient, rugged
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit import gradients
from bnnkit.errors import UsageError
from bnnkit.gradients import Objective, TrueGradient
from bnnkit.gradients.accuracy import accuracy_of, products
from bnnkit.gradients.objective import Batch


class _Logits(nn.Module):
    """Logits that are parameters, and the loss of their signs."""

    def __init__(self, logits: Tensor, loss: Callable[[Tensor], Tensor], noise: str) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())
        self.sign = bnn.Sign(noise)
        self.loss = loss

    def forward(self, n_examples: int) -> Tensor:
        return self.loss(self.sign(self.logits.expand(n_examples, -1)))


def of_logits(
    loss: Callable[[Tensor], Tensor], logits: Tensor = A, noise: str = "logistic"
) -> Objective[int]:
    model = _Logits(logits, loss, noise)
    return Objective(model=model, loss=model)


class _Deep(nn.Module):
    """Two stochastic layers, and a skip connection around the second."""

    def __init__(self, noise: str = "logistic") -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, dtype=DOUBLE)
        self.second = nn.Linear(2, 2, dtype=DOUBLE)
        self.head = nn.Linear(4, 1, dtype=DOUBLE)
        self.sign = bnn.Sign(noise)  # one module, called twice

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.sign(self.first(inputs))
        y = self.sign(self.second(x))
        z: Tensor = self.head(torch.cat([x, y], 1))
        return z.square().squeeze(1)


def deep(noise: str = "logistic") -> tuple[Objective[Tensor], Tensor, _Deep]:
    torch.manual_seed(1)
    model, inputs = _Deep(noise), torch.randn(3, 2, dtype=DOUBLE)
    return Objective(model=model, loss=model), inputs, model


def by_hand(model: _Deep, inputs: Tensor, noise: str) -> Tensor:
    """The gradient of the mean over the examples of sum_{x, y} P(x) P(y | x) L(x, y)."""
    cdf, total = bnn.get_noise(noise).cdf, torch.zeros((), dtype=DOUBLE)
    for example in inputs:
        for state in product((-1.0, 1.0), repeat=4):
            x, y = torch.tensor(state, dtype=DOUBLE).view(2, 2)
            p = cdf(model.first(example) * x).prod() * cdf(model.second(x) * y).prod()
            total = total + p * model.head(torch.cat([x, y])).square().sum() / len(inputs)
    return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(model.parameters()))])


@pytest.mark.parametrize("noise", NOISES)
def test_enumeration_of_one_layer(noise: str) -> None:
    truth = gradients.exact_gradient(of_logits(rugged, noise=noise), 2)
    torch.testing.assert_close(truth.value, exact_gradient(rugged, A, noise))
    assert (truth.variance, truth.method, truth.samples) == (0, "enumeration", 8)


@pytest.mark.parametrize("noise", NOISES)
def test_enumeration_of_a_deep_network(noise: str) -> None:
    objective, inputs, model = deep(noise)
    truth = gradients.exact_gradient(objective, inputs)
    torch.testing.assert_close(truth.value, by_hand(model, inputs, noise))


def error_in_units_of_its_own(objective: Objective[Batch], batch: Batch, method: str) -> float:
    """|mean - exact|^2 over its estimated variance, the mean of 3 repeats; 1 is expected."""
    torch.manual_seed(3)
    exact = gradients.exact_gradient(objective, batch).value
    total = 0.0
    for _ in range(3):
        truth = gradients.sampled_gradient(objective, batch, samples=100)
        assert truth.method == method
        total += float((truth.value - exact).square().sum()) / truth.variance / 3
    return total


def test_sampled_gradients_are_within_their_error() -> None:
    assert 0.1 < error_in_units_of_its_own(of_logits(rugged), 2, "arm") < 3
    assert 0.1 < error_in_units_of_its_own(*deep()[:2], "reinforce") < 3


def metrics_by_loops(g: list[Tensor], h: list[list[Tensor]]) -> tuple[float, float, float]:
    """Equations 60, 65 and 66, one estimate after the other."""
    n, cosine, inner, square, error = 0, 0.0, 0.0, 0.0, 0.0
    for truth, estimates in zip(g, h, strict=True):
        for estimate in estimates:
            n += 1
            dot = sum(float(a) * float(b) for a, b in zip(truth, estimate, strict=True))
            norms = [sqrt(sum(float(a) ** 2 for a in vector)) for vector in (truth, estimate)]
            cosine += dot / (norms[0] * norms[1])
            inner += dot
            square += norms[1] ** 2
            error += sum((float(a) - float(b)) ** 2 for a, b in zip(truth, estimate, strict=True))
    return cosine / n, -(inner / n) / sqrt(square / n), sqrt(error / n)


def test_the_metrics_are_their_definitions() -> None:
    torch.manual_seed(7)
    objective, inputs, _ = deep()
    batches = [inputs[:1], inputs[1:]]
    truths = [gradients.exact_gradient(objective, batch) for batch in batches]
    accuracy = gradients.measure(objective, batches, truths, estimator="zgr", trials=5, seed=2)
    torch.manual_seed(2)
    estimates = [
        [gradients.estimate(objective, batch, "zgr") for _ in range(5)] for batch in batches
    ]
    found = [accuracy.cosine.value, accuracy.improvement.value, accuracy.rmse.value]
    np.testing.assert_allclose(found, metrics_by_loops([t.value for t in truths], estimates))
    squares = [float(t.value.square().sum()) for t in truths]
    assert accuracy.best_improvement == pytest.approx(-sqrt(sum(squares) / 2))
    assert (accuracy.trials, accuracy.batches, accuracy.truth_rms_error) == (5, 2, 0)


def test_the_improvement_is_that_of_the_best_step() -> None:
    """Equations 62 to 64: the least of -s <g, h> + s^2 |h|^2 / (2 e) is -e/2 improvement^2."""
    torch.manual_seed(0)
    g, h, step = torch.randn(4, dtype=DOUBLE), torch.randn(50, 4, dtype=DOUBLE) + 1, 0.3
    rows = np.array([[products(g, estimate) for estimate in h]])
    accuracy = accuracy_of(rows, variances=[0], norms=[float(g.norm())], level=0.9, seed=0)
    sizes = np.linspace(-2, 2, 400_001)
    inner, square = float((h @ g).mean()), float(h.square().sum(1).mean())
    least = (-sizes * inner + sizes**2 * square / (2 * step)).min()
    assert least == pytest.approx(-step / 2 * accuracy.improvement.value**2, rel=1e-6)


def test_intervals_cover_at_their_level() -> None:
    """The mean of normal numbers lies in 90 % of the intervals; +-9 points are 3 deviations."""
    rng, covered = np.random.default_rng(0), 0
    for seed in range(100):
        rows = rng.normal(0.5, 1, (2, 40, 4)) ** np.array([1, 1, 2, 2])
        found = accuracy_of(rows, variances=[0, 0], norms=[1, 1], level=0.9, seed=seed)
        covered += found.cosine.low < 0.5 < found.cosine.high
    assert 81 <= covered <= 99


def measured(objective: Objective[int], estimator: str | None) -> gradients.Accuracy:
    truth = gradients.exact_gradient(objective, 1)
    return gradients.measure(objective, [1], [truth], estimator=estimator, trials=200)


@pytest.mark.parametrize("logit", [-0.7, 0.4])
def test_example_1_has_gradient_0_and_st_does_not(logit: float) -> None:
    """L(x) = x^2: E[ST] = 4F'(a) (2F(a) - 1), and |ST| = 4F'(a) for both signs."""
    a = torch.tensor([logit], dtype=DOUBLE)
    objective = of_logits(lambda x: x.square().sum(1), a)
    noise = bnn.get_noise("logistic")
    accuracy = measured(objective, "st")
    assert gradients.exact_gradient(objective, 1).value.abs() < 1e-12
    assert accuracy.rmse.value == pytest.approx(4 * float(noise.pdf(a)))
    torch.manual_seed(0)
    mean = torch.stack([gradients.estimate(objective, 2000) for _ in range(10)]).mean()
    expected = 4 * noise.pdf(a) * (2 * noise.cdf(a) - 1)
    assert mean.sign() == np.sign(logit)
    torch.testing.assert_close(mean, expected.squeeze(), rtol=0.1, atol=0)


def test_example_2_has_the_opposite_direction() -> None:
    """L = b - sin(2 pi b), b in {0, 1}: the difference is 1, the derivative 1 - 2 pi."""
    a = torch.tensor([0.3], dtype=DOUBLE)
    objective = of_logits(lambda x: ((x + 1) / 2 - torch.sin(pi * (x + 1))).sum(1), a)
    density = float(bnn.get_noise("logistic").pdf(a))
    accuracy = measured(objective, "st")
    assert gradients.exact_gradient(objective, 1).value.item() == pytest.approx(density)
    assert accuracy.cosine.value == pytest.approx(-1)
    assert accuracy.improvement.value == pytest.approx(density)
    assert accuracy.best_improvement == pytest.approx(-density)
    assert accuracy.rmse.value == pytest.approx(density * (1 - (1 - 2 * pi * cos(2 * pi))))


def test_st_is_exact_for_a_linear_loss() -> None:
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=DOUBLE)
    accuracy = measured(of_logits(lambda x: x @ weight), "st")
    assert asdict(accuracy.cosine) == pytest.approx({"value": 1, "low": 1, "high": 1})
    assert accuracy.rmse.value < 1e-12
    assert accuracy.improvement.value == pytest.approx(accuracy.best_improvement)


def test_a_zero_estimate_has_no_direction() -> None:
    g = torch.tensor([1.0, 2.0])
    assert products(g, torch.zeros(2)) == (0, 0, 0, 5)
    assert np.isnan(products(torch.zeros(2), g)[0])


@pytest.mark.parametrize("estimator", ["reinforce", "arm", "disarm", "local-expectations"])
def test_estimators_that_take_the_loss_are_unbiased_here_too(estimator: str) -> None:
    objective = of_logits(rugged)
    truth = gradients.exact_gradient(objective, 1).value
    torch.manual_seed(5)
    draws = torch.stack([gradients.estimate(objective, 200, estimator) for _ in range(100)])
    z = (draws.mean(0) - truth) / draws.std(0) * 10
    assert z.abs().max() < 4.5


def test_measuring_leaves_model_and_generators_alone() -> None:
    objective, inputs, model = deep()
    truth = gradients.exact_gradient(objective, inputs)
    state = torch.get_rng_state()
    gradients.measure(objective, [inputs], [truth], estimator="identity-st", trials=2)
    assert (torch.get_rng_state() == state).all()
    assert model.sign.estimator.name == "st"
    assert all(parameter.grad is None for parameter in model.parameters())


def test_only_chosen_parameters_are_measured() -> None:
    _, inputs, model = deep()
    objective = Objective(model=model, loss=model, parameters=[model.first.bias])
    truth = gradients.exact_gradient(objective, inputs).value
    torch.testing.assert_close(truth, by_hand(model, inputs, "logistic")[4:6])


def _refused(model: nn.Module, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Objective(model=model, loss=lambda x: model(x).sum(1))


def test_models_without_such_an_expectation_are_refused() -> None:
    sign = bnn.Sign("logistic")
    _refused(nn.Sequential(bnn.Sign("none")), "found none")
    _refused(nn.Sequential(bnn.Sign("logistic")).eval(), "training mode")
    _refused(nn.Sequential(nn.BatchNorm1d(2), sign), r"0 is a batch norm.*\.eval")
    _refused(nn.Sequential(sign, nn.Dropout(0.1)), "1 is dropout")
    _refused(nn.Sequential(sign, bnn.BinaryLinear(2, 2, weight_rule="mirror-descent")), "draws")


def test_wrong_use_is_refused() -> None:
    objective, inputs, _ = deep()
    truth = TrueGradient(value=torch.zeros(15), variance=0, method="arm", samples=2)
    wide = of_logits(lambda x: x.sum(1), torch.zeros(21))
    with pytest.raises(UsageError, match=r"at most 20 .* got 21, .* use sampled_gradient"):
        gradients.exact_gradient(wide, 1)
    with pytest.raises(UsageError, match=r"one stochastic layer for arm.*got 2 calls"):
        gradients.estimate(objective, inputs, "arm")
    with pytest.raises(UsageError, match="multiple of 10, at least 20, got 15"):
        gradients.sampled_gradient(objective, inputs, samples=15)
    with pytest.raises(UsageError, match="one true gradient for each batch, got 1 batches and 2"):
        gradients.measure(objective, [inputs], [truth, truth])
    with pytest.raises(UsageError, match="2 trials or more"):
        gradients.measure(objective, [inputs], [truth], trials=1)
    with pytest.raises(UsageError, match=r"shape \(N,\), got shape \(\)"):
        gradients.exact_gradient(of_logits(lambda x: x.sum()), 1)


def test_the_figure(tmp_path: Path) -> None:
    objective, inputs, _ = deep()
    truth = gradients.exact_gradient(objective, inputs)
    series = {
        name: [(0.0, gradients.measure(objective, [inputs], [truth], estimator=name, trials=3))]
        for name in ("st", "zgr")
    }
    for points in series.values():
        assert gradients.Accuracy.of_record(asdict(points[0][1])) == points[0][1]
    path = tmp_path / "accuracy.png"
    gradients.draw_accuracies(series, path, title="two layers", x_label="epoch")
    assert path.read_bytes()[:4] == b"\x89PNG"
