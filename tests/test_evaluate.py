"""The deterministic network: evaluation and recalibrated batch norms."""

import numpy as np
import pytest
import torch
from torch import nn

from bnnkit.metrics import accuracy, nll
from bnnkit.nn import BinaryLinear, Sign
from bnnkit.nn.evaluating import evaluating
from bnnkit.training import evaluate, recalibrate
from bnnkit.training.evaluate import score


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
        want = network.eval()(torch.tensor(x)).softmax(1)
    np.testing.assert_array_equal(once, want.numpy())
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


def test_score_equals_the_metrics(network: nn.Module) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(57, 6)).astype(np.float32), rng.integers(0, 4, 57)
    totals = score(network, torch.tensor(x), torch.tensor(y), batch_size=10)
    probabilities = evaluate(network, x)
    assert totals[1].item() / 57 == accuracy(probabilities, y)
    assert totals[0].item() / 57 == pytest.approx(nll(probabilities, y), rel=1e-5)
    assert totals[2].item() == 57


def test_recalibrate_averages_the_deterministic_batches(network: nn.Module) -> None:
    network.train()
    batches = [torch.randn(32, 6) for _ in range(4)]
    recalibrate(network, iter(batches))
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


def test_recalibrate_without_batches_changes_nothing(network: nn.Module) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    recalibrate(network, [])
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
