"""The noise that a sample draws in torch, by the definition, and who draws it."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from marks import exported_marks
from test_philox import by_definition
from torch import Tensor, nn

from bnnkit.artifact.format.sample import Sample
from bnnkit.errors import UsageError
from bnnkit.nn import (
    BinaryConv2d,
    BinaryLinear,
    IntegerConv2d,
    Logistic,
    Noise,
    Sign,
    get_noise,
    sampling,
)
from bnnkit.nn import layer_noise as layer_noise_module
from bnnkit.nn.layer_noise import draw
from bnnkit.nn.noisy_threshold import NoisyThreshold
from bnnkit.nn.quantile_table import quantile_table
from bnnkit.nn.sampling import next_number, numbering
from bnnkit.verification.torch_trace import TorchTrace

CPU = torch.device("cpu")
NAMES = ["logistic", "uniform", "triangular"]


class Index(Logistic):
    """The quantile is its own index in the table."""

    def quantile(self, p: Tensor) -> Tensor:
        return 4096 * p - 0.5


def index_by_definition(
    sample: Sample, layer: int, image: int, position: int, c: int, n: int
) -> int:
    u = position * (-(-n // 64) * 64) + c
    block, word = u // 64 * 8 + u % 16 // 2, u % 64 // 16
    key = [sample.seed % 2**32, sample.seed // 2**32]
    drawn = sample.index // 2 if sample.antithetic else sample.index
    bits = by_definition([block, layer, drawn, sample.image_offset + image], key)[word]
    half = bits % 2**16 if u % 2 == 0 else bits // 2**16
    index = half // 16
    return 4095 - index if sample.antithetic and sample.index % 2 else index


@pytest.mark.parametrize(
    ("shape", "sample", "layer"),
    [
        ((2, 3), Sample(), 0),
        ((1, 64), Sample(seed=2**64 - 1, index=2**32 - 1, image_offset=2**32 - 1), 2**32 - 1),
        ((3, 70, 2, 3), Sample(seed=5 + 7 * 2**32, index=3, image_offset=11), 4),
        ((2, 70, 2), Sample(seed=1, index=7, antithetic=True), 1),
        ((2, 33, 1, 2), Sample(seed=1, index=6, antithetic=True), 1),
        ((2, 5, 2, 1, 3), Sample(index=1), 2),
    ],
)
def test_draws_are_those_of_the_definition(
    shape: tuple[int, ...], sample: Sample, layer: int
) -> None:
    found = draw(Index(), shape, sample, layer, CPU)
    assert (found.shape, found.dtype) == (shape, torch.float32)
    for image, c in np.ndindex(*shape[:2]):
        for position, z in enumerate(found[image, c].flatten().tolist()):
            assert z == index_by_definition(sample, layer, image, position, c, shape[1])


def test_the_pieces_in_which_it_is_computed_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw(Index(), (7, 65, 3, 3), Sample(seed=3), 0, CPU)
    monkeypatch.setattr(layer_noise_module, "_BLOCKS_AT_ONCE", 300)
    assert torch.equal(draw(Index(), (7, 65, 3, 3), Sample(seed=3), 0, CPU), whole)
    part = draw(Index(), (2, 65, 3, 3), Sample(seed=3, image_offset=4), 0, CPU)
    assert torch.equal(part, whole[4:6])


@pytest.mark.parametrize(
    ("shape", "offset", "message"),
    [
        ((5,), 0, r"expected \(N, C, ...\) to draw noise for, got shape \(5,\)"),
        ((2, 5), 2**32 - 1, "got 4294967296 and 8"),
        ((1, 64, 2**29 + 1), 0, "got 0 and 4294967304"),
    ],
)
def test_what_the_counter_cannot_hold_is_refused(
    shape: tuple[int, ...], offset: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        draw(Index(), shape, Sample(image_offset=offset), 0, CPU)


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_quantiles_at_midpoints(name: str) -> None:
    table, noise = quantile_table(get_noise(name)), get_noise(name)
    assert (table.shape, table.dtype) == ((4096,), torch.float32)
    midpoints = (torch.arange(4096, dtype=torch.float64) + 0.5) / 4096
    torch.testing.assert_close(noise.cdf(table.double()), midpoints, atol=1e-7, rtol=0)
    assert torch.equal(table, -table.flip(0))
    assert bool((table.diff() > 0).all())


class Broken(Logistic):
    name = "broken"

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def quantile(self, p: Tensor) -> Tensor:
        return self.factor * p


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -1.0, 1e40])
def test_impossible_tables_are_refused(factor: float) -> None:
    with pytest.raises(UsageError, match=r"4096 finite quantiles .* noise 'broken'"):
        quantile_table(Broken(factor))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_a_sign_of_real_numbers_compares_with_its_noise(name: str, dtype: torch.dtype) -> None:
    a, sign, sample = torch.randn(4, 9, 3, 3).to(dtype), Sign(name).eval(), Sample(seed=2)
    with sampling(sample):
        first, second = sign(a), sign(a)
    for layer, x in enumerate((first, second)):
        plus = a.float() >= draw(sign.noise, a.shape, sample, layer, CPU)
        assert x.dtype == dtype
        assert torch.equal(x == 1, plus)
        assert torch.equal(x == -1, ~plus)
    assert not torch.equal(first, second)


def test_only_noisy_signs_count_and_the_rest_is_as_ever() -> None:
    network = nn.Sequential(Sign("none"), BinaryLinear(8, 8), Sign(), Sign("none"), Sign()).eval()
    x, sample = torch.randn(5, 8), Sample(seed=4)
    with sampling(sample), torch.no_grad():
        y = network(x)
    with torch.no_grad():
        a = network[1](torch.where(x >= 0, 1.0, -1.0))
    for layer in range(2):
        a = torch.where(a >= draw(Logistic(), a.shape, sample, layer, CPU), 1.0, -1.0)
    assert torch.equal(y, a)


def test_layer_numbers_restart_in_each_pass_and_passes_nest() -> None:
    sign, a = Sign().eval(), torch.randn(3, 50)
    with sampling(Sample()):
        first = sign(a)
        with sampling(Sample(seed=1)):
            other = sign(a)
        with sampling(None):
            plain = sign(a)
        second = sign(a)
    with sampling(Sample()):
        assert torch.equal(sign(a), first)
        assert torch.equal(sign(a), second)
    assert torch.equal(plain, sign(a))
    assert not torch.equal(first, other)


def test_training_draws_its_own_noise() -> None:
    a = torch.zeros(3, 50)
    network = nn.ModuleList([Sign(), Sign().eval()])
    with sampling(Sample()):
        torch.manual_seed(1)
        trained, drawn = network[0](a), network[1](a)
    torch.manual_seed(1)
    assert torch.equal(trained, Sign()(a))
    assert torch.equal(drawn == 1, draw(Logistic(), (3, 50), Sample(), 0, CPU) <= 0)


@pytest.mark.parametrize("network", [Sign("none").eval(), Sign(), nn.Linear(4, 4)])
def test_a_pass_without_noise_is_refused(network: nn.Module) -> None:
    with pytest.raises(UsageError, match="none drew noise: use 0 samples"), sampling(Sample()):
        network(torch.zeros(2, 4))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's
def test_a_compiled_network_is_refused() -> None:
    compiled = torch.compile(Sign().eval(), fullgraph=True, backend="aot_eager")
    with pytest.raises(UsageError, match="not compiled"), sampling(Sample()):
        compiled(torch.zeros(2, 4))


def test_an_error_of_the_network_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), sampling(Sample()):
        raise ZeroDivisionError


def threshold(
    t: list[float], r: list[float], per_unit: list[float], at_zero: list[float]
) -> NoisyThreshold:
    return NoisyThreshold(
        torch.tensor(t), torch.tensor(r),
        torch.tensor(per_unit, dtype=torch.float64), torch.tensor(at_zero, dtype=torch.float64),
    )  # fmt: skip


def test_a_law_compares_the_integer() -> None:
    """Three channels: a = c / 4 + 1, the same with a negated sum, a constant."""
    c = torch.arange(-30, 31.0).view(61, 1).expand(61, 3)
    a = torch.stack([c[:, 0] / 4 + 1, -c[:, 1] / 4 + 1, torch.full((61,), 0.3)], 1)
    sums = torch.stack([c[:, 0], c[:, 1], torch.zeros(61)], 1)
    t, r = [-4.25, 4.0, -0.3], [4.0, 4.0, 1.0]
    thresholds = {1: threshold(t, r, [4.0, -4.0, 0.0], [-4.0, 4.0, 0.0])}
    sign, sample = Sign().eval(), Sample(seed=6)
    with sampling(sample, thresholds):
        real, whole = sign(a), sign(a)
    z = [draw(Logistic(), (61, 3), sample, layer, CPU).numpy() for layer in range(2)]
    np.testing.assert_array_equal(real.numpy() == 1, a.numpy() >= z[0])
    edge = np.array(t, np.float32) + np.array(r, np.float32) * z[1]  # NumPy rounds each of the two
    assert edge.dtype == np.float32
    np.testing.assert_array_equal(whole.numpy() == 1, sums.numpy() >= edge)


@pytest.mark.parametrize("bad", [0.3, float("nan")])
def test_a_law_of_another_sign_is_refused(bad: float) -> None:
    a, sign = torch.zeros(2, 1), Sign().eval()
    a[1, 0] = bad
    thresholds = {0: threshold([0.0], [1.0], [1.0], [0.0])}
    with (
        pytest.raises(UsageError, match="threshold's function of integers"),
        sampling(Sample(), thresholds),
    ):
        sign(a)


@pytest.mark.parametrize("layer", [-1, 1])
def test_a_law_without_a_sign_is_refused(layer: int) -> None:
    thresholds = {layer: threshold([0.0], [1.0], [1.0], [0.0])}
    message = f"thresholds of layers 0 to 0, got one of {layer}"
    with pytest.raises(UsageError, match=message), sampling(Sample(), thresholds):
        Sign().eval()(torch.zeros(2, 1))


class Twice(nn.Module):
    """Two signs of one input, one of them called again, and one without noise."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.plain = Sign(), Sign(), Sign("none")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.left(x) + self.right(x) + self.plain(x) + self.left(2 * x)
        return y


def test_marks_are_numbered_in_the_order_of_the_pass() -> None:
    for _ in range(2):
        marks = exported_marks(Twice(), torch.zeros(2, 3))
        assert [(m.scope, m.attributes.get("call")) for m in marks] == [
            ("left", 0), ("right", 1), ("plain", None), ("left", 2),
        ]  # fmt: skip


@pytest.fixture
def chain() -> nn.Sequential:
    """Integer sums all the way, with a negative scale in each batch norm; large ones first."""
    torch.manual_seed(5)
    network = nn.Sequential(
        IntegerConv2d(3, 8, 3, padding=1, zero_point=[0, 0, 0]), nn.BatchNorm2d(8), Sign(),
        BinaryConv2d(8, 70, 3), nn.BatchNorm2d(70), nn.MaxPool2d(2), Sign("uniform"),
        nn.Flatten(), BinaryLinear(280, 9), nn.BatchNorm1d(9), Sign("triangular"),
        nn.Linear(9, 4),
    )  # fmt: skip
    network.train()
    with torch.no_grad():
        network[0].weight.abs_()  # type: ignore[operator]
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                norm.weight.uniform_(-1, 1)
                norm.bias.normal_()
        for _ in range(20):
            network(torch.randint(256, (16, 3, 6, 6), dtype=torch.uint8))
    return network.eval()


def chain_threshold(norm: nn.Module, step: Tensor | float) -> NoisyThreshold:
    """That of a batch norm of step times a sum, by its definition."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    slope = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    beta = (norm.bias.double() - norm.running_mean.double() * slope).detach()
    alpha = (slope * step).detach()
    # The integer is negated where the slope is negative, so that alpha > 0.
    side = alpha.sign()
    r, t = 1 / alpha.abs(), -beta / alpha.abs()
    return NoisyThreshold(t.float(), r.float(), side / alpha, -side * beta / alpha)


def chain_thresholds(network: nn.Sequential) -> Mapping[int, NoisyThreshold]:
    step = 2.0 ** network[0].exponent.double()  # type: ignore[operator]
    return {
        0: chain_threshold(network[1], step),
        1: chain_threshold(network[4], 1),
        2: chain_threshold(network[9], 1),
    }


def signs_by_definition(
    sums: Tensor, threshold: NoisyThreshold, side: Tensor, noise: Noise, sample: Sample, layer: int
) -> Tensor:
    """Of integer sums (N, C, ...), already pooled and times `side`."""
    z = draw(noise, sums.shape, sample, layer, CPU).numpy()
    shape = (-1, *[1] * (sums.dim() - 2))
    edge = (
        threshold.threshold.numpy().reshape(shape)
        + threshold.noise_scale.numpy().reshape(shape) * z
    )
    return torch.tensor(np.where(sums.to(torch.float32).numpy() >= edge, 1.0, -1.0))


@pytest.mark.parametrize("sample", [Sample(), Sample(seed=2**40, index=3, antithetic=True)])
def test_traced_samples_are_those_of_the_integers(chain: nn.Sequential, sample: Sample) -> None:
    thresholds = chain_thresholds(chain)
    images = torch.randint(256, (5, 3, 6, 6), dtype=torch.uint8)
    found = TorchTrace(chain, thresholds=thresholds)(images.numpy(), sample).signs
    with torch.no_grad():
        weight = chain[0].integer_weight().double()  # type: ignore[operator]
        x = images.double()
        sums: list[Tensor] = [nn.functional.conv2d(x, weight, padding=1)]
        assert sums[0].abs().max() > 2**21  # beyond what a float32 batch norm tells apart
        side = chain[1].weight.double().sign().view(-1, 1, 1)  # type: ignore[operator]
        x = signs_by_definition(sums[0] * side, thresholds[0], side, Logistic(), sample, 0)
        pooled_side = chain[4].weight.double().sign().view(-1, 1, 1)  # type: ignore[operator]
        y = chain[3](x.float()).double() * pooled_side
        y = nn.functional.max_pool2d(y, 2)
        x2 = signs_by_definition(y, thresholds[1], pooled_side, get_noise("uniform"), sample, 1)
        side = chain[9].weight.double().sign()  # type: ignore[operator]
        z = chain[8](x2.flatten(1).float()).double() * side
        x3 = signs_by_definition(z, thresholds[2], side, get_noise("triangular"), sample, 2)
    for name, want in (("2", x), ("6", x2), ("10", x3)):
        np.testing.assert_array_equal(found[name], (want + 1).numpy().astype(np.uint8))


def test_a_trace_without_sample_is_deterministic(chain: nn.Sequential) -> None:
    images = np.random.default_rng(1).integers(0, 256, (4, 3, 6, 6), dtype=np.uint8)
    plain, with_thresholds = (
        TorchTrace(chain),
        TorchTrace(chain, thresholds=chain_thresholds(chain)),
    )
    for found in (with_thresholds(images), TorchTrace(chain)(images, None)):
        assert all((found.signs[n] == x).all() for n, x in plain(images).signs.items())
        np.testing.assert_array_equal(found.outputs[0], plain(images).outputs[0])
    sampled = with_thresholds(images, Sample())
    assert any((sampled.signs[n] != x).any() for n, x in plain(images).signs.items())
    assert all(p.dtype == torch.float32 for p in chain.parameters())


def test_real_numbers_of_a_sampled_trace_are_less_their_noise() -> None:
    network = nn.Sequential(nn.Linear(4, 6), Sign()).eval()
    x = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    found = TorchTrace(network, {"1"})(x, Sample(seed=3))
    np.testing.assert_array_equal(found.signs["1"] == 2, found.real["1"] >= 0)
    z = draw(Logistic(), (5, 6), Sample(seed=3), 0, CPU).numpy()
    with torch.no_grad():
        np.testing.assert_array_equal(found.real["1"], network[0](torch.tensor(x)).numpy() - z)


class Numbers(nn.Module):
    """Notes two numbers in each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int | None, int | None]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((next_number(), next_number()))
        return x


def test_numbers_restart_if_a_pass_is_traced_twice() -> None:
    network = Numbers()
    with numbering(network):
        network(torch.zeros(1))
        network(torch.zeros(1))
    network(torch.zeros(1))
    assert network.seen == [(0, 1), (0, 1), (None, None)]
    assert not network._forward_pre_hooks


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", ["logistic", "uniform", "triangular"])
def test_a_gpu_draws_the_same_noise(name: str) -> None:
    sample = Sample(seed=2**40 + 7, index=5, image_offset=100)
    here, there = (
        draw(get_noise(name), (64, 33, 9, 7), sample, 3, torch.device(device))
        for device in ("cpu", "cuda")
    )
    assert torch.equal(here, there.cpu())
