"""Estimators against their definitions: exact enumeration, finite differences, the paper's B."""

from collections.abc import Callable

import pytest
import torch
from exact_gradient import DOUBLE, NOISES, A, W, all_signs, exact_gradient, probabilities, rugged
from torch import Tensor

import bnnkit.nn as bnn
from bnnkit.errors import UsageError
from bnnkit.nn import estimators
from bnnkit.nn.estimators import Estimator


def mean_gradient(
    estimator: str, loss: Callable[[Tensor], Tensor], a: Tensor, noise: str
) -> Tensor:
    """The expectation of a layer's estimate, over every outcome of the signs."""
    signs = all_signs(len(a))
    b = a.detach().expand_as(signs).clone().requires_grad_()
    rule = estimators.get_estimator(estimator)
    x = rule.propagate(b, signs, None, bnn.get_noise(noise))
    (gradient,) = torch.autograd.grad(loss(x).sum(), b)
    return probabilities(a.detach(), noise, signs) @ gradient


Y = torch.tensor([0.4, -0.2], dtype=DOUBLE)


def linear(x: Tensor) -> Tensor:
    return x @ torch.tensor([1.0, -2.0, 0.5], dtype=x.dtype)


def multilinear(x: Tensor) -> Tensor:
    x0, x1, x2 = x.unbind(1)
    return 3 * x0 - x1 + 0.5 * x0 * x1 - 2 * x1 * x2 + x0 * x1 * x2


def quadratic(x: Tensor) -> Tensor:
    return (x @ W.T.to(x.dtype) - Y.to(x.dtype)).square().sum(1)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("estimator", "loss"),
    [
        *(("st", linear), ("st", multilinear)),
        *(("zgr", linear), ("zgr", multilinear), ("zgr", quadratic)),
    ],
)
def test_where_an_estimator_is_unbiased(
    estimator: str, loss: Callable[[Tensor], Tensor], noise: str
) -> None:
    torch.testing.assert_close(
        mean_gradient(estimator, loss, A, noise), exact_gradient(loss, A, noise)
    )


@pytest.mark.parametrize("noise", NOISES)
def test_st_is_exact_for_a_linear_loss(noise: str) -> None:
    """No variance: each draw gives the exact gradient."""
    a = A.expand(20, 3).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(linear(bnn.Sign(noise)(a)).sum(), a)
    torch.testing.assert_close(gradient, exact_gradient(linear, A, noise).expand(20, 3))


def test_proposition_b3_the_multilinear_correction_removes_the_bias() -> None:
    def corrected(x: Tensor) -> Tensor:
        return estimators.multilinear_squared_error(x, W, Y)

    signs = all_signs(3)
    torch.testing.assert_close(corrected(signs), quadratic(signs))
    exact = exact_gradient(quadratic, A, "logistic")
    torch.testing.assert_close(mean_gradient("st", corrected, A, "logistic"), exact)
    assert (mean_gradient("st", quadratic, A, "logistic") - exact).norm() > 0.1 * exact.norm()


def test_example_1_of_b2_the_square() -> None:
    """L = x^2 has gradient 0; ST says 4F'(a)(2F(a) - 1), ZGR 0."""

    def square(x: Tensor) -> Tensor:
        return x[:, 0].square()

    noise = bnn.get_noise("logistic")
    for value in (-0.7, 0.4):
        a = torch.tensor([value], dtype=DOUBLE)
        expected = 4 * noise.pdf(a) * (2 * noise.cdf(a) - 1)
        torch.testing.assert_close(mean_gradient("st", square, a, "logistic"), expected)
        assert expected.sign() == a.sign()
        zero = torch.zeros(1, dtype=DOUBLE)
        torch.testing.assert_close(mean_gradient("zgr", square, a, "logistic"), zero)


def test_example_2_of_b2_the_wrong_direction() -> None:
    """L(x) = x - sin(2 pi x), as the paper has it: the estimate is opposite to the gradient."""

    def wave(x: Tensor) -> Tensor:
        return x[:, 0] - torch.sin(2 * torch.pi * x[:, 0])

    a = torch.tensor([0.4], dtype=DOUBLE)
    exact = exact_gradient(wave, a, "logistic")
    assert exact > 0
    estimate = mean_gradient("st", wave, a, "logistic")
    torch.testing.assert_close(estimate, (1 - 2 * torch.pi) * exact)


@pytest.mark.parametrize("noise", NOISES)
def test_proposition_b1_invariance(noise: str) -> None:
    """ST under sign(T(a) - T(z)) for T(a) = a^3 + a is ST under sign(a - z)."""
    own = bnn.get_noise(noise)

    class Transformed(bnn.Logistic):
        name = "transformed"

        def pdf(self, x: Tensor) -> Tensor:
            a = inverse(x)
            return own.pdf(a) / (3 * a.square() + 1)

    def inverse(b: Tensor) -> Tensor:
        a = b.clone()
        for _ in range(60):
            a = a - (a**3 + a - b) / (3 * a.square() + 1)
        return a

    a = torch.linspace(-0.9, 0.9, 7, dtype=DOUBLE).requires_grad_()
    transformed = bnn.Sign(Transformed(), estimator="deterministic-st")(a**3 + a)
    plain = bnn.Sign(own, estimator="deterministic-st")(a)
    upstream = torch.randn(7, dtype=DOUBLE)
    (left,) = torch.autograd.grad(transformed, a, upstream)
    (right,) = torch.autograd.grad(plain, a, upstream)
    torch.testing.assert_close(left, right)


@pytest.mark.parametrize("proxy", ["identity-st", "clipped-identity", "approx-sign", "reste"])
def test_proposition_b4_rescaling_keeps_a_non_negative_product(proxy: str) -> None:
    """In the parameters of any map to a, here linear: E[rescaled] E[ST] >= 0."""
    torch.manual_seed(3)
    for _ in range(20):
        to_a = torch.randn(5, 3, dtype=DOUBLE)
        a = torch.randn(3, dtype=DOUBLE)
        st, rescaled = (to_a @ mean_gradient(e, rugged, a, "logistic") for e in ("st", proxy))
        assert st @ rescaled >= 0


def test_proposition_b6_the_bias_falls_with_the_square_root_of_the_units() -> None:
    """l(W x) with W of norm 1: the relative bias of ST falls as 1/sqrt(n); exact for n <= 12."""
    torch.manual_seed(0)

    def relative_bias(n: int) -> float:
        biases = []
        for _ in range(60):
            weight = torch.randn(n, dtype=DOUBLE)
            weight /= weight.norm()

            def loss(x: Tensor, weight: Tensor = weight) -> Tensor:
                return (x @ weight - 1).square()

            a = 0.5 * torch.randn(n, dtype=DOUBLE)
            exact = exact_gradient(loss, a, "logistic")
            bias = mean_gradient("st", loss, a, "logistic") - exact
            biases.append(float(bias.norm() / exact.norm()))
        return sum(biases) / len(biases)

    few, many = relative_bias(3), relative_bias(12)
    assert 1.5 < few / many < 3, "four times the units should halve the bias"


def sigmoid_swish(a: Tensor) -> Tensor:
    s = torch.sigmoid(5 * a)
    return 2 * s * (1 + 5 * a * (1 - s)) - 1


def power(a: Tensor) -> Tensor:
    """ReSTE's with its chord, constant outside of the limit."""
    size = a.abs().clamp(max=1.5)
    chord = 0.1 ** (1 / 3)
    return a.sign() * torch.where(size <= 0.1, size * chord / 0.1, size ** (1 / 3))


def cubic(a: Tensor) -> Tensor:
    return a.sign() * (1 - (1 - a.abs() / 1.3).clamp(min=0) ** 3)


PROXIES: list[tuple[Estimator, Callable[[Tensor], Tensor]]] = [
    (estimators.IdentityStraightThrough(), lambda a: a),
    (estimators.ClippedIdentity(), lambda a: a.clamp(-1, 1)),
    (estimators.ClippedIdentity(0.7), lambda a: a.clamp(-0.7, 0.7)),
    (estimators.ApproxSign(), lambda a: a.sign() * (1 - (1 - a.abs()).clamp(min=0) ** 2)),
    (estimators.Polynomial(3, 1.3), cubic),
    (estimators.Polynomial(1, 0.8), lambda a: (a / 0.8).clamp(-1, 1)),
    (estimators.Tanh(), torch.tanh),
    (estimators.Tanh(2.5), lambda a: torch.tanh(2.5 * a)),
    (estimators.SwishSign(), sigmoid_swish),
    (estimators.ReSte(), power),
    (estimators.GumbelSoftmax(0.7), lambda a: torch.tanh(a / 0.7)),
    (estimators.StraightThroughGumbelSoftmax(0.7), lambda a: torch.tanh(a / 0.7)),
]


def expected_sign(noise: str) -> Callable[[Tensor], Tensor]:
    """E[sign(a - z)]."""
    return lambda a: 2 * bnn.get_noise(noise).cdf(a) - 1


PROXIES += [
    (rule, expected_sign(noise))
    for rule in (estimators.StraightThrough(), estimators.DeterministicStraightThrough())
    for noise in NOISES
]
PROXY_NOISES = ["logistic"] * 12 + 2 * NOISES


@pytest.mark.parametrize("index", range(len(PROXIES)))
def test_the_derivative_is_that_of_the_function_it_stands_for(index: int) -> None:
    """Central differences, away from kinks; h^2 times the third derivative is below 1e-6."""
    estimator, function = PROXIES[index]
    a, h = torch.linspace(-2.6, 2.6, 1000, dtype=DOUBLE), 1e-4
    kinks = torch.tensor([0, 0.1, 0.7, 0.8, 1, 1.3, 1.5, 2], dtype=DOUBLE)
    a = a[((a.abs()[:, None] - kinks).abs() > 2 * h).all(1)]
    numeric = (function(a + h) - function(a - h)) / (2 * h)
    jacobian = torch.as_tensor(estimator.jacobian(a, bnn.get_noise(PROXY_NOISES[index])))
    torch.testing.assert_close(jacobian.expand_as(a).to(DOUBLE), numeric, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("proxy", "noise"),
    [("clipped-identity", "uniform"), ("tanh", "logistic"), ("approx-sign", None)],
)
def test_proxies_that_belong_to_noises(proxy: str, noise: str | None) -> None:
    """Figure 1, c to e; ApproxSign is the triangular density at half its width."""
    a = torch.linspace(-2.5, 2.5, 501)
    own = bnn.get_noise(noise or "triangular")
    expected = 2 * own.pdf(a) if noise else 4 * own.pdf(2 * a)
    jacobian = estimators.get_estimator(proxy).jacobian(a, own)
    torch.testing.assert_close(torch.as_tensor(jacobian), expected)


def test_gumbel_softmax_is_relaxed_in_training_only() -> None:
    torch.manual_seed(0)
    a = torch.randn(200, requires_grad=True)
    sign = bnn.Sign(estimator="gumbel-softmax", temperature=0.5)
    assert ((sign(a) > -1) & (sign(a) < 1)).any()
    assert set(sign.eval()(a).tolist()) == {-1.0, 1.0}
    hard = bnn.Sign(estimator="st-gumbel-softmax", temperature=0.5)
    torch.manual_seed(1)
    x = hard(a)
    torch.manual_seed(1)
    relaxed = sign.train()(a)
    assert torch.equal(x, torch.where(relaxed >= 0, 1.0, -1.0))
    upstream = torch.randn(200)
    gradients = [torch.autograd.grad(y, a, upstream)[0] for y in (x, relaxed)]
    torch.testing.assert_close(*gradients)


def test_gumbel_softmax_goes_to_the_exact_gradient_of_its_relaxed_loss() -> None:
    """The pathwise gradient of E[tanh((a - z)/T)^3], against a numeric integral over z."""
    noise, temperature = bnn.get_noise("logistic"), 0.7
    a = torch.tensor(0.3, dtype=DOUBLE, requires_grad=True)
    z = torch.linspace(-12, 12, 20001, dtype=DOUBLE)
    weight = noise.pdf(z) * (z[1] - z[0])
    expected_loss = (torch.tanh((a - z) / temperature) ** 3 * weight).sum()
    (exact,) = torch.autograd.grad(expected_loss, a)
    b = a.detach().expand_as(z).clone().requires_grad_()
    x = estimators.GumbelSoftmax(temperature).propagate(b, torch.zeros_like(b), z, noise)
    (estimates,) = torch.autograd.grad((x**3).sum(), b)
    torch.testing.assert_close((estimates * weight).sum(), exact)


def test_code_0_1_has_half_the_gradient() -> None:
    """z = (x + 1)/2, so that the factor 2 goes: dL/da = F'(a) dL/dz."""
    a = A.clone().requires_grad_()
    z = (bnn.Sign("logistic")(a) + 1) / 2
    (gradient,) = torch.autograd.grad(z, a, torch.ones(3, dtype=DOUBLE))
    torch.testing.assert_close(gradient, bnn.get_noise("logistic").pdf(A))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": "gumbel-softmax", "temperature": -1}, "temperature .* above 0, got -1"),
        ({"estimator": "gumbel-softmax", "noise": "none"}, "use the estimator tanh"),
        ({"estimator": "zgr", "noise": "none"}, "use the estimator deterministic-st"),
        ({"estimator": "reste", "power": 0.5}, "power of reste .* of at least 1, got 0.5"),
        ({"estimator": "reste", "chord": 2}, "chord .* above 0 and of at most 1.5, got 2"),
        ({"estimator": "tanh", "slope": "2"}, "to be a number above 0, got '2'"),
        ({"estimator": "tanh", "slope": float("nan")}, "got nan"),
        ({"estimator": estimators.Tanh(), "slope": 2}, "set them in its constructor"),
    ],
)
def test_what_layers_refuse(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bnn.Sign(**arguments)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's
@pytest.mark.parametrize("name", [n for n in estimators.ESTIMATORS.names if n != "psa"])
def test_short_floats_and_compilation(name: str) -> None:
    sign = bnn.Sign(estimator=name)
    a = torch.randn(64, dtype=torch.bfloat16, requires_grad=True)
    x = sign(a)
    assert x.dtype == torch.bfloat16
    x.sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()
    torch.compiler.reset()  # or the cases are taken for one function that changes too often
    compiled = torch.compile(sign, fullgraph=True, backend="aot_eager")
    b = torch.randn(64, requires_grad=True)
    compiled(b).sum().backward()
    assert b.grad is not None
    assert b.grad.isfinite().all()
