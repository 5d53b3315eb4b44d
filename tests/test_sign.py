from copy import deepcopy
from itertools import product

import pytest
import torch
from marks import exported_marks
from torch import Tensor, nn

from bnnkit.errors import UsageError
from bnnkit.nn import Logistic, Noise, Sign, get_noise

NAMES = ["logistic", "uniform", "triangular"]
FLOATS = [torch.bfloat16, torch.float16, torch.float32, torch.float64]


class Chosen(Logistic):
    """Draws the noise that makes the signs the chosen ones."""

    def __init__(self, signs: tuple[float, ...]) -> None:
        self.signs = signs

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return -1e9 * torch.tensor(self.signs)


@pytest.mark.parametrize("name", NAMES)
def test_frequencies_follow_the_cdf(name: str) -> None:
    """Algorithm 1, forward. Chi-square with 9 degrees of freedom: below 27.9 with P = 0.999."""
    torch.manual_seed(1)
    n, a = 20_000, torch.linspace(-0.9, 0.9, 9)
    p = get_noise(name).cdf(a)
    positive = (Sign(name)(a.expand(n, 9)) > 0).sum(0)
    assert ((positive - n * p) ** 2 / (n * p * (1 - p))).sum() < 27.9


@pytest.mark.parametrize("name", [*NAMES, "none"])
@pytest.mark.parametrize("training", [True, False])
def test_gradient_is_twice_the_density(name: str, training: bool) -> None:
    """Algorithm 1, backward: exactly 2F'(a) dL/dx, whatever was drawn."""
    torch.manual_seed(2)
    a, upstream = 2 * torch.randn(50), torch.randn(50)
    a.requires_grad_()
    Sign(name).train(training)(a).backward(upstream)
    assert a.grad is not None
    assert torch.equal(a.grad, 2 * get_noise(name).pdf(a.detach()) * upstream)


def loss(x: Tensor) -> Tensor:
    """Multilinear: every power is 1."""
    return 3 * x[0] - x[1] + 0.5 * x[0] * x[1] - 2 * x[1] * x[2] + x[0] * x[1] * x[2]


def probability(a: Tensor, signs: tuple[float, ...]) -> Tensor:
    return torch.prod(Logistic().cdf(a * torch.tensor(signs, dtype=a.dtype)))


def test_gradient_of_a_linear_loss_of_one_unit_is_exact() -> None:
    a = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    expected_loss = sum(probability(a, (s,)) * 5 * s for s in (-1.0, 1.0))
    (exact,) = torch.autograd.grad(torch.as_tensor(expected_loss), a)
    (estimate,) = torch.autograd.grad(5 * Sign()(a), a)
    torch.testing.assert_close(estimate, exact)


def test_estimator_is_unbiased_for_a_multilinear_loss() -> None:
    a = torch.tensor([0.3, -0.8, 0.1], dtype=torch.float64, requires_grad=True)
    outcomes = list(product((-1.0, 1.0), repeat=3))
    expected_loss = sum(
        probability(a, signs) * loss(torch.tensor(signs, dtype=a.dtype)) for signs in outcomes
    )
    (exact,) = torch.autograd.grad(torch.as_tensor(expected_loss), a)
    mean_estimate = torch.zeros_like(a)
    for signs in outcomes:
        x = Sign(Chosen(signs))(a)
        assert tuple(x.tolist()) == signs
        mean_estimate += probability(a, signs).detach() * torch.autograd.grad(loss(x), a)[0]
    torch.testing.assert_close(mean_estimate, exact)


@pytest.mark.parametrize("dtype", FLOATS)
def test_evaluation_is_the_sign_with_plus_1_at_0(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).tiny
    a = torch.tensor([0.0, -0.0, tiny, -tiny, 3.0, -3.0], dtype=dtype)
    x = Sign().eval()(a)
    assert x.dtype == dtype
    assert x.tolist() == [1, 1, 1, -1, 1, -1]


def test_without_noise_training_equals_evaluation() -> None:
    a = torch.cat([torch.zeros(1), torch.randn(99)])
    assert torch.equal(Sign("none")(a), Sign("none").eval()(a))


@pytest.mark.parametrize("dtype", FLOATS)
def test_training_keeps_dtype_and_input(dtype: torch.dtype) -> None:
    a = torch.zeros(64, dtype=dtype)
    x = Sign()(a)
    assert x.dtype == dtype
    assert set(x.tolist()) == {-1, 1}
    assert not a.any()


def test_bfloat16_inputs_follow_the_cdf() -> None:
    torch.manual_seed(3)
    n, a = 100_000, torch.tensor(0.5)
    positive = (Sign()(a.bfloat16().expand(n)) > 0).sum().item()
    p = Logistic().cdf(a).item()
    assert abs(positive - n * p) < 4 * (n * p * (1 - p)) ** 0.5


def test_gradients_flow_under_autocast() -> None:
    network = nn.Sequential(nn.Linear(4, 8), Sign(), nn.Linear(8, 1))
    with torch.autocast("cpu", torch.bfloat16):
        y = network(torch.randn(16, 4))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.slow
def test_compiles_without_a_graph_break(training: bool) -> None:
    compiled = torch.compile(Sign().train(training), fullgraph=True, backend="aot_eager")
    a = torch.randn(8, requires_grad=True)
    assert set(compiled(a).abs().tolist()) == {1}
    compiled(a).sum().backward()
    assert a.grad is not None
    torch.testing.assert_close(a.grad, 2 * Logistic().pdf(a.detach()))


def test_deepcopy_is_another_sign() -> None:
    sign = Sign("uniform")
    copy = deepcopy(sign).eval()
    assert sign.training
    assert copy.noise.name == "uniform"


def test_integer_input_is_refused() -> None:
    with pytest.raises(UsageError, match=r"floating-point input of Sign, got torch\.uint8"):
        Sign()(torch.zeros(3, dtype=torch.uint8))


def test_unknown_estimator_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"an estimator out of approx-sign, .*got 'gauss'; add your own"
    ):
        Sign(estimator="gauss")


@pytest.mark.parametrize("name", [*NAMES, "none"])
def test_export_marks_the_sign(name: str) -> None:
    (mark,) = exported_marks(nn.Sequential(nn.ReLU(), Sign(name)), torch.zeros(2, 3))
    assert (mark.operator, mark.scope) == ("Sign", "1")
    assert mark.attributes == {"noise": name} | ({} if name == "none" else {"call": 0})
    assert mark.shape[1:] == (3,)


def test_a_users_noise_keeps_its_name_in_the_export() -> None:
    class Named(Logistic):
        name = "named"

    noise: Noise = Named()
    (mark,) = exported_marks(Sign(noise), torch.zeros(2, 3))
    assert mark.attributes == {"noise": "named", "call": 0}
