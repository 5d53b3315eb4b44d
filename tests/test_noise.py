import pytest
import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn import (
    BinaryWeight,
    Deterministic,
    Logistic,
    Noise,
    Sign,
    Triangular,
    Uniform,
    get_noise,
    register_noise,
)

NOISES = [Logistic(), Uniform(), Triangular()]
RANDOM = pytest.mark.parametrize("z", NOISES, ids=lambda z: z.name)
ALL = pytest.mark.parametrize("z", [*NOISES, Deterministic()], ids=lambda z: z.name)


class Gaussian(Noise):
    """F'(0) = 1/2 for a standard deviation of sqrt(2 / pi)."""

    name = "gaussian"
    deviation = (2 / torch.pi) ** 0.5

    def cdf(self, x: Tensor) -> Tensor:
        f: Tensor = torch.special.ndtr(x / self.deviation)
        return f

    def pdf(self, x: Tensor) -> Tensor:
        return torch.exp(-((x / self.deviation) ** 2) / 2) / 2

    def quantile(self, p: Tensor) -> Tensor:
        z: Tensor = self.deviation * torch.special.ndtri(p)
        return z


def grid() -> Tensor:
    # An even number of points: none lies on 0, +-1 or +-2, where a density may have a kink.
    return torch.linspace(-3, 3, 200, dtype=torch.float64)


@ALL
def test_density_is_the_derivative_of_the_cdf(z: Noise) -> None:
    x, h = grid(), 1e-5
    numeric = (z.cdf(x + h) - z.cdf(x - h)) / (2 * h)
    torch.testing.assert_close(z.pdf(x), numeric, atol=1e-8, rtol=0)


@ALL
def test_density_at_0_is_one_half(z: Noise) -> None:
    assert z.pdf(torch.zeros(())).item() == 0.5
    assert z.cdf(torch.zeros(())).item() == 0.5


@ALL
def test_cdf_rises_from_0_to_1_and_is_symmetric(z: Noise) -> None:
    x = torch.linspace(-30, 30, 1001, dtype=torch.float64)
    f = z.cdf(x)
    assert f[0] < 1e-20
    assert f[-1] == 1
    assert bool((f.diff() >= 0).all())
    torch.testing.assert_close(f, 1 - z.cdf(-x), atol=1e-15, rtol=0)


@ALL
def test_quantile_inverts_the_cdf(z: Noise) -> None:
    p = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    torch.testing.assert_close(z.cdf(z.quantile(p)), p, atol=1e-14, rtol=0)


@pytest.mark.parametrize(
    ("z", "x", "f"),
    [
        (Logistic(), 1.0, 0.8807970779778823),
        (Uniform(), 0.5, 0.75),
        (Uniform(), 1.5, 1.0),
        (Triangular(), 1.0, 0.875),
        (Triangular(), -1.0, 0.125),
    ],
    ids=str,
)
def test_known_values(z: Noise, x: float, f: float) -> None:
    assert z.cdf(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(f, abs=1e-15)


@RANDOM
def test_samples_follow_the_cdf(z: Noise) -> None:
    """Kolmogorov-Smirnov: sqrt(n) D stays below 1.95 in all but one of a thousand samples."""
    n = 100_000
    sample = z.sample(torch.empty(n), torch.Generator().manual_seed(0)).double()
    f = z.cdf(sample.sort().values)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    distance = torch.maximum((f - steps[:-1]).abs(), (steps[1:] - f).abs()).max()
    assert distance * n**0.5 < 1.95


@RANDOM
def test_extreme_uniforms_give_finite_noise(z: Noise, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Tensor, "uniform_", lambda u, generator: u.copy_(torch.tensor([0.0, 1 - 2**-24]))
    )
    low, high = z.sample(torch.empty(2)).tolist()
    assert -20 < low < -0.9
    assert 0.9 < high < 20


@ALL
@pytest.mark.parametrize(
    ("dtype", "drawn"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_sample_has_the_shape_and_a_long_dtype(
    z: Noise, dtype: torch.dtype, drawn: torch.dtype
) -> None:
    like = torch.full((3, 5), 7.0, dtype=dtype, requires_grad=True)
    sample = z.sample(like)
    assert (sample.shape, sample.dtype, sample.requires_grad) == ((3, 5), drawn, False)
    assert bool((like == 7).all())


@ALL
def test_sample_is_reproducible(z: Noise) -> None:
    first, second = (z.sample(torch.empty(9), torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)


@ALL
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_functions_keep_dtype_and_input(z: Noise, dtype: torch.dtype) -> None:
    x = torch.tensor([0.25, 0.75], dtype=dtype)
    for function in (z.cdf, z.pdf, z.quantile):
        assert function(x).dtype == dtype
    assert x.tolist() == [0.25, 0.75]


def test_without_noise_z_is_0() -> None:
    assert get_noise("none").sample(torch.ones(4)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("name", ["logistic", "uniform", "triangular", "none"])
def test_noises_are_known_by_name(name: str) -> None:
    assert get_noise(name).name == name


def test_a_noise_is_returned_as_it_is() -> None:
    z = Logistic()
    assert get_noise(z) is z


@pytest.mark.parametrize("unknown", ["gauss", "", None, 3])
def test_unknown_name(unknown: str) -> None:
    with pytest.raises(UsageError, match=r"logistic, none, triangular, uniform.*register_noise"):
        get_noise(unknown)


def test_users_noise_works_by_name_in_sign_and_weight() -> None:
    assert register_noise(Gaussian) is Gaussian
    a = torch.tensor([-0.5, 0.0, 2.0], requires_grad=True)
    Sign("gaussian")(a).sum().backward()
    assert a.grad is not None
    torch.testing.assert_close(a.grad, 2 * Gaussian().pdf(a.detach()))
    assert BinaryWeight("gaussian").initial((5,)).isfinite().all()


def test_the_same_class_may_be_registered_again() -> None:
    register_noise(Gaussian)
    register_noise(Gaussian)
    assert isinstance(get_noise("gaussian"), Gaussian)


def test_a_taken_name_is_refused() -> None:
    class Other(Gaussian):
        name = "logistic"

    with pytest.raises(UsageError, match="'logistic' belongs to Logistic"):
        register_noise(Other)


def test_a_noise_without_name_is_refused() -> None:
    class Nameless(Gaussian):
        name = ""

    with pytest.raises(UsageError, match="set its `name`"):
        register_noise(Nameless)


def test_a_class_of_another_base_is_refused() -> None:
    class Other:
        name = "other"

    with pytest.raises(UsageError, match=r"a subclass of Noise, got .*Other; derive it from"):
        register_noise(Other)  # type: ignore[type-var]


def test_a_noise_without_its_methods_is_refused() -> None:
    class Unfinished(Noise):
        name = "unfinished"

        def cdf(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(UsageError, match=r"Unfinished without pdf, quantile; write them"):
        register_noise(Unfinished)  # type: ignore[type-abstract]
