"""The deterministic network and its ensembles: evaluation and recalibrated batch norms."""

import numpy as np
import pytest
import torch
from torch import nn

from bnnkit.artifact.format.constants import Mode
from bnnkit.artifact.format.probabilities import softmax
from bnnkit.artifact.format.sample import Sample
from bnnkit.errors import UsageError
from bnnkit.evaluation.metrics import accuracy, nll
from bnnkit.nn import BinaryLinear, Sign, sampling
from bnnkit.nn.evaluating import evaluating
from bnnkit.training import evaluate, recalibrate
from bnnkit.training.evaluation import score_batches


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), Sign(), BinaryLinear(16, 16),
        nn.BatchNorm1d(16), Sign(), nn.Linear(16, 4),
    )  # fmt: skip


def test_evaluate_is_deterministic_in_any_batches_and_keeps_the_modes(network: nn.Module) -> None:
    x = np.random.default_rng(4).normal(size=(57, 6)).astype(np.float32)
    network.train()
    network[1].eval()  # type: ignore[index]
    modes = [module.training for module in network.modules()]
    once = evaluate(network, x)
    np.testing.assert_array_equal(once, evaluate(network, x))
    np.testing.assert_allclose(once, evaluate(network, torch.tensor(x), batch_size=10), atol=1e-6)
    assert [module.training for module in network.modules()] == modes
    with torch.no_grad():
        logits = network.eval()(torch.tensor(x))
    np.testing.assert_array_equal(once, logits.double().softmax(1).float().numpy())
    np.testing.assert_allclose(once, softmax(logits.numpy()), rtol=0, atol=1e-6)  # the runtime's
    assert once.shape == (57, 4)
    assert once.dtype == np.float32


def test_modes_come_back_after_an_error(network: nn.Module) -> None:
    def fail() -> None:
        with evaluating(network):
            assert not network.training
            network(torch.zeros(2, 5))

    with pytest.raises(RuntimeError):
        fail()
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("antithetic", [False, True])
def test_an_ensemble_is_the_mean_of_its_samples_in_any_batches(
    network: nn.Module, antithetic: bool
) -> None:
    x = torch.randn(57, 6)
    found = evaluate(network, x, samples=4, seed=9, antithetic=antithetic, batch_size=57)
    passes = []
    for index in range(4):
        drawn = Sample(seed=9, index=index, antithetic=antithetic)
        with evaluating(network), sampling(drawn):
            passes.append(network(x).double().softmax(1))
    np.testing.assert_allclose(found, torch.stack(passes).mean(0).numpy(), atol=1e-7)
    again = evaluate(network, x, samples=4, seed=9, antithetic=antithetic, batch_size=10)
    np.testing.assert_allclose(found, again, atol=1e-6)
    for samples, seed in ((0, 9), (4, 8), (3, 9)):
        other = evaluate(network, x, samples=samples, seed=seed)
        assert np.abs(found - other).max() > 0.01


@pytest.mark.parametrize(
    ("samples", "seed", "message"),
    [
        (-1, 0, "0 to 1024 samples, got -1"),
        (1025, 0, "0 to 1024 samples, got 1025"),
        (1, -1, r"seed from 0 to 2\^64 - 1, got -1"),
    ],
)
def test_impossible_ensembles_are_refused(
    network: nn.Module, samples: int, seed: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(network, torch.zeros(2, 6), samples=samples, seed=seed)


def test_samples_of_a_network_without_noise_are_refused() -> None:
    with pytest.raises(UsageError, match="expected a network with noisy signs"):
        evaluate(nn.Sequential(nn.Linear(6, 4), Sign("none")), torch.zeros(2, 6), samples=2)


@pytest.mark.parametrize("samples", [0, 3])
def test_score_equals_the_metrics(network: nn.Module, samples: int) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(57, 6)).astype(np.float32), rng.integers(0, 4, 57)
    inputs, labels = torch.tensor(x), torch.tensor(y)
    of_batches = score_batches(network, inputs, labels, samples=samples, batch_size=10)
    assert of_batches[:, 2].tolist() == [10, 10, 10, 10, 10, 7]
    totals = of_batches.sum(0)
    probabilities = evaluate(network, x, samples=samples)
    assert totals[1].item() / 57 == accuracy(probabilities, y)
    assert totals[0].item() / 57 == pytest.approx(nll(probabilities, y), rel=1e-5)
    assert totals[2].item() == 57


def test_shares_of_the_images_keep_their_noise(network: nn.Module) -> None:
    x, y = torch.randn(20, 6), torch.arange(20) % 4
    whole = score_batches(network, x, y, samples=2, seed=1)
    first = score_batches(network, x[:7], y[:7], samples=2, seed=1)
    rest = score_batches(network, x[7:], y[7:], samples=2, seed=1, first_image=7)
    torch.testing.assert_close(first + rest, whole)
    without_numbers = score_batches(network, x[7:], y[7:], samples=2, seed=1)
    assert not torch.allclose(first + without_numbers, whole)


def test_recalibrate_averages_the_deterministic_batches(network: nn.Module) -> None:
    network.train()
    batches = [torch.randn(32, 6) for _ in range(4)]
    recalibrate(network, iter(batches), "deterministic")
    assert all(module.training for module in network.modules())
    first, second = network[1], network[4]  # type: ignore[index]
    assert (first.momentum, second.momentum) == (0.1, 0.1)
    network.eval()
    with torch.no_grad():
        sums = [network[0](batch) for batch in batches]  # type: ignore[index]
        # In recalibration each batch is normalised with its own statistics.
        signs = [torch.where(nn.functional.batch_norm(s, None, None, first.weight, first.bias,
                 training=True) >= 0, 1.0, -1.0) for s in sums]  # fmt: skip
        deeper = [network[3](sign) for sign in signs]  # type: ignore[index]
    for norm, values in ((first, sums), (second, deeper)):
        mean = torch.stack([value.mean(0) for value in values]).mean(0)
        var = torch.stack([value.var(0) for value in values]).mean(0)
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_var, var)


def test_recalibrate_draws_the_noise_of_numbered_images(network: nn.Module) -> None:
    batches = [torch.randn(32, 6) for _ in range(3)]
    recalibrate(network, batches, "samples", seed=5)
    norm, other = network[1], network[4]  # type: ignore[index]
    deeper = []
    with torch.no_grad():
        for index, batch in enumerate(batches):
            sums = network[0](batch)  # type: ignore[index]
            a = nn.functional.batch_norm(sums, None, None, norm.weight, norm.bias, training=True)
            with sampling(Sample(seed=5, image_offset=32 * index)):
                deeper.append(network[3].eval()(Sign().eval()(a)))  # type: ignore[index]
    torch.testing.assert_close(
        other.running_mean, torch.stack([s.mean(0) for s in deeper]).mean(0)
    )
    torch.testing.assert_close(other.running_var, torch.stack([s.var(0) for s in deeper]).mean(0))
    assert (norm.momentum, norm.training, network.training) == (0.1, True, True)


@pytest.mark.parametrize("mode", ["deterministic", "samples"])
def test_recalibrate_without_batches_changes_nothing(network: nn.Module, mode: Mode) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    recalibrate(network, [], mode)
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_recalibrate_draws_the_weights_of_each_batch() -> None:
    """By definition: the statistics of sums under a draw of the weights for each batch."""
    torch.manual_seed(3)
    layer, norm = BinaryLinear(40, 6), nn.BatchNorm1d(6)
    network = nn.Sequential(layer, norm)
    batches = [torch.randn(30, 40).sign() for _ in range(4)]
    state = torch.random.get_rng_state()
    recalibrate(network.eval(), batches, "deterministic", weights="drawn", seed=7)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not layer.training
    torch.manual_seed(7)
    with torch.no_grad():
        sums = [layer.train()(batch) for batch in batches]
    torch.testing.assert_close(norm.running_mean, torch.stack(sums).mean((0, 1)))
    variances = torch.stack([part.var(0) for part in sums])
    torch.testing.assert_close(norm.running_var, variances.mean(0))
