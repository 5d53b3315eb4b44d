"""An optimizer and a schedule of one's own, as module:function."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import fail, run
from rich.console import Console
from short_runs import interrupted_at

import bnnkit.nn as bnn
from bnnkit.data.own_code import VARIABLE, trust_code
from bnnkit.errors import CheckpointError, ConfigError
from bnnkit.training import train
from bnnkit.training.config import Config, parse_config
from bnnkit.training.history import read_history
from bnnkit.training.optimizers import Optimizers
from bnnkit.training.schedule import make_schedule
from bnnkit.training.state import load_state, save_state

MODULE = '''
import numpy as np
import torch
from torch.optim import SGD, LBFGS


class Lion(torch.optim.Optimizer):
    """Keeps a tensor, an integer tensor, a number and a number of the group."""

    def __init__(self, params, lr=1e-3, decay=0.9):
        super().__init__(params, {"lr": lr, "weight_decay": 0.0, "decay": decay, "steps": 0})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["steps"] += 1
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(m=torch.zeros_like(p), n=torch.tensor(0), age=0)
                state["m"].lerp_(p.grad, 1 - group["decay"])
                state["n"] += 1
                state["age"] += 1
                lr = group["lr"] / (1 + 0.01 * state["age"] + 0.01 * group["steps"])
                p.add_(state["m"].sign() + group["weight_decay"] * p, alpha=-lr)


def sgd(params, lr, momentum, nesterov=False):
    return SGD(params, lr=lr, momentum=momentum, nesterov=nesterov)


def fixed_rate(params):
    return SGD(params, lr=0.25)


def needs_closure(params):
    return LBFGS([p for group in params for p in group["params"]])


def forgets(params):
    return SGD(params[:1], lr=0.1)


def wrong(params):
    return params


def half(progress):
    return 0.5 if progress < 0.5 else 0.25


def with_numpy(progress):
    return np.float32(1 - progress / 2)


def negative(progress):
    return -1


def fails(progress):
    raise KeyError("inside")
'''
CONFIG = """
data: {name: digits}
model: {name: mlp, width: 8}
epochs: 3
batch_size: 128
recalibrate: 1
eval_samples: 0
device: cpu
"""
QUIET = Console(quiet=True)


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of its own for each test, in the working directory, that is trusted."""
    module = f"own_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv(VARIABLE, raising=False)
    with trust_code(module):
        yield module
    sys.modules.pop(module, None)


def _config(*keys: str) -> Config:
    return parse_config(CONFIG, keys)


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def test_the_function_gets_groups_options_and_rates(name: str) -> None:
    config = _config(
        f"optimizer={name}:sgd", "momentum=0.7", "lr=0.5", "weight_decay=0.1",
        "optimizer_options.nesterov=true",
    )  # fmt: skip
    network = _network()
    (optimizer,) = Optimizers(network, config).all
    weights, others = optimizer.param_groups
    assert [p.dim() for p in weights["params"]] == [2]
    assert (weights["weight_decay"], others["weight_decay"]) == (0.1, 0)
    assert (weights["momentum"], weights["nesterov"]) == (0.7, True)
    assert len(others["params"]) == 3


def test_its_rates_are_the_peak_of_the_schedule(name: str) -> None:
    config = _config(f"optimizer={name}:fixed_rate", f"schedule={name}:half", "warmup=1")
    optimizers = Optimizers(_network(), config)
    rates = []
    for step in (0, 3, 4, 5, 6, 11):
        optimizers.set_learning_rates(step, 4)
        rates += optimizers.learning_rates()
    assert rates == [0.25 / 8, 0.125, 0.125, 0.125, 0.0625, 0.0625]


def test_latent_weights_can_have_one(name: str) -> None:
    text = f"latent: {{optimizer: '{name}:Lion', optimizer_options: {{decay: 0.5}}}}"
    keys = [f"optimizer={name}:sgd", "optimizer_options.nesterov=true"]
    config = parse_config(CONFIG + text, keys)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    with pytest.raises(ConfigError, match="no binary weights"):
        Optimizers(network, config)
    plain = parse_config(CONFIG + f"latent: {{optimizer: '{name}:Lion'}}", keys)
    network = torch.nn.Sequential(bnn.BinaryLinear(3, 4), torch.nn.BatchNorm1d(4))
    assert Optimizers(network, config).all[1].param_groups[0]["decay"] == 0.5
    assert Optimizers(network, plain).all[1].param_groups[0]["decay"] == 0.9


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("optimizer=NAME:needs_closure", "whose step needs closure"),
        ("optimizer=NAME:forgets", "have all 4 parameters in params and no others, got 1"),
        ("optimizer=NAME:wrong", r"wrong to return a torch.optim.Optimizer, got \["),
        ("optimizer=NAME:missing", "has no function missing"),
        ("optimizer=other:sgd", "which runs only if you trust it: pass --trust-code other"),
        (
            "optimizer_options={a: 1}",
            "optimizer_options are arguments of an optimizer of your own",
        ),
        ("schedule=NAME:negative", "a number from 0, got -1 at 0"),
        ("schedule=NAME:fails", "fails failed: KeyError: 'inside'"),
        ("schedule=other:half", "which runs only if you trust it"),
    ],
)
def test_wrong_optimizers_and_schedules(name: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Optimizers(_network(), _config(key.replace("NAME", name)))


def test_words_that_are_no_names() -> None:
    with pytest.raises(ConfigError, match=r"'sgd' or your own function as module:function, got"):
        _config("optimizer=a:b:c")


def _stepped(name: str, steps: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    network = _network()
    (optimizer,) = Optimizers(network, _config(f"optimizer={name}:Lion")).all
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
    return network, optimizer


def test_its_state_comes_back_with_its_types(name: str, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    network, optimizer = _stepped(name, 3)
    save_state(path, 1, network, [optimizer], {})
    other, restored = _stepped(name, 0)
    assert load_state(path, other, [restored]) == (1, {})
    for left, right in zip(network.parameters(), other.parameters(), strict=True):
        entries = optimizer.state[left], restored.state[right]
        assert [type(v) for v in entries[0].values()] == [type(v) for v in entries[1].values()]
        for key, value in entries[0].items():
            found: Any = entries[1][key]
            assert value == found if key == "age" else torch.equal(value, found)
            assert key != "n" or found.dtype == torch.int64
    assert [group["steps"] for group in restored.param_groups] == [3, 3]


def test_a_state_of_another_optimizer_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    network, optimizer = _stepped(name, 1)
    save_state(path, 1, network, [optimizer], {})
    with pytest.raises(CheckpointError, match="does not fit this run's optimizers"):
        load_state(path, network, [torch.optim.Adam(network.parameters())])
    save_state(path, 1, network, [torch.optim.SGD(network.parameters(), lr=0.1)], {})
    with pytest.raises(CheckpointError, match="expected the numbers of an optimizer"):
        load_state(path, network, [optimizer])
    optimizer.state[next(iter(network.parameters()))]["list"] = [1]
    with pytest.raises(ConfigError, match=r"Lion, which keeps list: \[1\]; the run cannot be"):
        save_state(path, 1, network, [optimizer], {})


def test_a_state_that_belongs_to_no_parameter_is_refused(name: str, tmp_path: Path) -> None:
    network, optimizer = _stepped(name, 1)
    optimizer.state["whole"]["k"] = 1  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"Lion, whose state has 'whole'; keep its numbers in"):
        save_state(tmp_path / "state.safetensors", 1, network, [optimizer], {})
    network, optimizer = _stepped(name, 1)
    optimizer.param_groups[0]["d"] = torch.ones(())
    with pytest.raises(ConfigError, match="Lion with the tensor d; keep it in the state of a"):
        save_state(tmp_path / "state.safetensors", 1, network, [optimizer], {})


@pytest.mark.slow
def test_an_interrupted_run_continues_to_the_same_bits(name: str, tmp_path: Path) -> None:
    keys = (f"optimizer={name}:Lion", f"schedule={name}:half", "lr=0.01")
    train(_config(*keys), tmp_path / "straight", console=QUIET)
    with interrupted_at(25):
        train(_config(*keys), tmp_path / "stopped", console=QUIET)
    train(_config(*keys), tmp_path / "stopped", console=QUIET)
    for file in ("checkpoint.safetensors", "state.safetensors"):
        found = [(tmp_path / run / file).read_bytes() for run in ("straight", "stopped")]
        assert found[0] == found[1]
    rates = [r["lr"] for r in read_history(tmp_path / "stopped" / "metrics.jsonl") if "lr" in r]
    assert rates == [0.005, 0.0025, 0.0025]


@pytest.mark.slow
def test_its_checkpoint_is_used_without_trust(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    config, model = tmp_path / "c.yaml", tmp_path / "m.onnx"
    config.write_text(f"{CONFIG}optimizer: '{name}:Lion'\nlr: 0.01\n")
    assert run("train", config, "--out", "run", "--trust-code", name).exit_code == 0
    (tmp_path / f"{name}.py").unlink()
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv(VARIABLE)
        assert "--trust-code" in fail("train", config, "--out", "again")
        for command in (
            ("export", "run", "-o", model, "--calibrate", "digits"),
            ("eval", "run", "--json"),
            ("verify", "run", model),
            ("info", "run", "--json"),
        ):
            result = run(*command)
            assert result.exit_code == 0, (command, result.output, result.exception)


def test_a_schedule_is_called_with_the_share_that_is_done(name: str) -> None:
    schedule = make_schedule(f"{name}:half")
    assert [schedule(t) for t in (0.0, 0.49, 0.5)] == [0.5, 0.5, 0.25]
    numpys = make_schedule(f"{name}:with_numpy")
    assert [numpys(t) for t in (0.0, 0.5)] == [1.0, 0.75]
