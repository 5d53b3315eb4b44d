"""The moving average of the weights: its values, and the networks that have it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from short_runs import interrupted_at
from torch import Tensor, nn

from bnnkit.errors import CheckpointError, ConfigError
from bnnkit.training import load_checkpoint, train
from bnnkit.training.config import Config, parse_config
from bnnkit.training.ema import Ema
from bnnkit.training.history import read_history
from bnnkit.training.state import load_state, save_state

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
QUIET = Console(quiet=True)


def _config(*overrides: str) -> Config:
    text = (
        "{model: {name: mlp, width: 16}, epochs: 3, batch_size: 128, device: cpu, lr: 0.05,"
        " eval_samples: 2, augment: crop-flip, recalibrate: 4, ema: 0.9,"
        " latent: {optimizer: sgd, lr: 1}}"
    )
    return parse_config(text, overrides)


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_average_is_the_weighted_mean_of_all_steps(decay: float) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ema = Ema(network, decay)
    seen: list[list[Tensor]] = []
    for _ in range(7):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        ema.update()
        seen.append([p.detach().double() for p in network.parameters()])
    shares = [decay ** (6 - step) for step in range(7)]
    ema.write_to_network(7)
    for number, parameter in enumerate(network.parameters()):
        of_steps = zip(shares, seen, strict=True)
        want = sum((share * step[number] for share, step in of_steps), torch.zeros(())) / sum(
            shares
        )
        torch.testing.assert_close(parameter.detach().double(), want, rtol=1e-5, atol=1e-6)


def test_the_network_is_as_before_afterwards() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ema = Ema(network, 0.5)
    ema.update()
    with torch.no_grad():
        network.get_parameter("0.weight").add_(1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    addresses = [p.data_ptr() for p in network.parameters()]
    with ema.in_network(1):
        assert not torch.equal(network.get_parameter("0.weight"), before["0.weight"])
        network(torch.randn(8, 3))  # moves the statistics
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    assert [p.data_ptr() for p in network.parameters()] == addresses


def _records(out: Path) -> list[dict[str, Any]]:
    return read_history(out / "metrics.jsonl")


def test_a_run_trains_as_without_and_deploys_the_average(tmp_path: Path) -> None:
    train(_config(), tmp_path / "ema", console=QUIET)
    train(_config("ema="), tmp_path / "plain", console=QUIET)
    *epochs, final = _records(tmp_path / "ema")
    *plain, _ = _records(tmp_path / "plain")
    for key in ("train_loss", "flip_rates"):
        assert [r[key] for r in epochs] == [r[key] for r in plain]
    assert all(
        a["validation_loss"] != b["validation_loss"] for a, b in zip(epochs, plain, strict=True)
    )
    # The last evaluation and the finished network have the same weights and batch norms.
    for key in ("validation_loss", "validation_accuracy", "validation_loss_samples"):
        assert final[key] == epochs[-1][key]
    state = load_file(tmp_path / "ema" / "state.safetensors")
    network = load_checkpoint(tmp_path / "ema").model
    total = 1 - 0.9 ** (3 * (1295 // 128))
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), state[f"average.{name}"] / total)
        assert not torch.equal(parameter, state[f"model.{name}"])


def test_a_stopped_run_is_continued_exactly(tmp_path: Path) -> None:
    config = _config("keep=best")
    train(config, tmp_path / "straight", console=QUIET)
    with interrupted_at(25):
        train(config, tmp_path / "stopped", console=QUIET)
    train(config, tmp_path / "stopped", console=QUIET)
    for name in ("state.safetensors", "best.safetensors", "checkpoint.safetensors"):
        both = [(tmp_path / run / name).read_bytes() for run in ("straight", "stopped")]
        assert both[0] == both[1], name


def test_a_state_without_an_average_is_refused(tmp_path: Path) -> None:
    network = nn.Linear(3, 4)
    path = tmp_path / "state.safetensors"
    save_state(path, 1, network, [], {})
    with pytest.raises(CheckpointError, match=r"average\.weight is missing"):
        load_state(path, network, [], averages=Ema(network, 0.5).sums)


def test_an_average_needs_recalibration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch norms must be re-estimated: set recalibrate"):
        train(_config("recalibrate=0"), tmp_path, console=QUIET)
