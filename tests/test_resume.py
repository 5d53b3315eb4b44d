"""A run that is killed continues to the numbers of one that is not."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from bnnkit.errors import CheckpointError, FileError
from bnnkit.training import safetensors_file, train
from bnnkit.training.config import Config, load_config, parse_config
from bnnkit.training.history import read_history
from bnnkit.training.state import load_state, save_state
from bnnkit.training.task import batch_totals

ROOT = Path(__file__).parents[1]
QUIET = Console(quiet=True)
STEPS = 1295 // 96

CONFIG = """
data: {name: digits}
model: {name: convnet, width: 8}
epochs: 4
batch_size: 96
augment: crop-flip
weight_decay: 0.001
latent: {optimizer: sgd, lr: 1}
warmup: 0.5
recalibrate: 2
device: cpu
"""

# Replaces a function of the training by one that kills the process at its n-th call, as `kill -9`.
KILLED = """
import os, signal, sys
from pathlib import Path
from bnnkit.training import finish, load_config, loop, step, train

config, out, name, n = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
place = {"batch_totals": step, "draw_curves": finish}.get(name, loop)
original, calls = getattr(place, name), 0

def killing(*args, **kwargs):
    global calls
    calls += 1
    if calls == n:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)

setattr(place, name, killing)
train(load_config(config), out)
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks are no faster with more, and sums have one order only."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    train(parse_config(CONFIG), out, console=QUIET)
    return out


def _run_killed(config: Path, out: Path, function: str, call: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(config), str(out), function, str(call)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def _numbers(out: Path) -> list[dict[str, Any]]:
    """All that a run noted, but for how long it took."""
    records = read_history(out / "metrics.jsonl")
    times = ("seconds", "images_per_second")
    return [{key: r[key] for key in r if key not in times} for r in records]


def _assert_equal_runs(out: Path, uninterrupted: Path) -> None:
    assert _numbers(out) == _numbers(uninterrupted)
    for name in ("checkpoint.safetensors", "best.safetensors", "state.safetensors"):
        assert (out / name).read_bytes() == (uninterrupted / name).read_bytes()


@pytest.mark.parametrize(
    ("function", "call", "epochs_done"),
    [
        pytest.param("save_state", 3, 2, id="between metrics and state", marks=pytest.mark.slow),
        *(
            pytest.param(*case, id=when, marks=pytest.mark.exhaustive)
            for when, case in {
                "in the first epoch": ("batch_totals", STEPS // 2, 0),
                "in the third": ("batch_totals", 2 * STEPS + 5, 2),
                "at the first best": ("save_checkpoint", 1, 0),
                "at the end": ("draw_curves", 1, 4),
            }.items()
        ),
    ],
)
def test_killed_and_continued(
    tmp_path: Path, uninterrupted: Path, function: str, call: int, epochs_done: int
) -> None:
    out, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(CONFIG)
    _run_killed(config, out, function, call)
    assert not (out / "checkpoint.safetensors").exists()
    assert (out / "state.safetensors").exists() == (epochs_done > 0)
    with (tmp_path / "said").open("w") as file:
        train(load_config(config), out, console=Console(file=file))
    _assert_equal_runs(out, uninterrupted)
    said = f"continuing after epoch {epochs_done}" if epochs_done else "epoch 1/4"
    assert (tmp_path / "said").read_text().startswith(said)


class _Stop(Exception):  # noqa: N818
    """Stands for whatever ends a run."""


def _train_until(config: Config, out: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains, and stops in a step of this call."""
    steps = 0

    def stopping(*args: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == step:
            raise _Stop
        return batch_totals(*args)

    with monkeypatch.context() as patched:
        patched.setattr("bnnkit.training.step.batch_totals", stopping)
        with pytest.raises(_Stop):
            train(config, out, console=QUIET)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(["save_every=2", "eval_every=3", "epochs=6"], marks=pytest.mark.slow),
        ["precision=bf16-mixed", "epochs=5"],
    ],
    ids=lambda overrides: overrides[0],
)
def test_stopped_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    config = parse_config(CONFIG, [*overrides, "model.name=mlp", "latent="])
    train(config, tmp_path / "straight", console=QUIET)
    for step in (2 * STEPS + 3, 2 * STEPS + 7):
        _train_until(config, tmp_path / "stopped", step, monkeypatch)
    train(config, tmp_path / "stopped", console=QUIET)
    _assert_equal_runs(tmp_path / "stopped", tmp_path / "straight")


def test_ctrl_c_says_how_to_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bnnkit.training.step.batch_totals", interrupted)
    with (tmp_path / "said").open("w") as file:
        console = Console(file=file)
        with pytest.raises(KeyboardInterrupt):
            train(parse_config(CONFIG), tmp_path / "run", console=console)
    assert "stopped; the same command continues the run in" in (tmp_path / "said").read_text()


def test_a_damaged_state_is_no_silent_new_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Path
) -> None:
    config = parse_config(CONFIG)
    _train_until(config, tmp_path, STEPS + 1, monkeypatch)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    lines = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(
        CheckpointError, match=r"is truncated .* delete .*state.safetensors to start"
    ):
        train(config, tmp_path, console=QUIET)
    assert (tmp_path / "metrics.jsonl").read_bytes() == lines
    state.unlink()
    train(config, tmp_path, console=QUIET)
    _assert_equal_runs(tmp_path, uninterrupted)


def test_a_state_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    models = [torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)) for _ in "ab"]
    adams = [
        torch.optim.Adam([{"params": [p for p in m.parameters() if p.ndim == d]} for d in (2, 1)])
        for m in models
    ]
    for _ in range(3):
        models[0](torch.randn(8, 3)).square().sum().backward()
        adams[0].step()
    path = tmp_path / "state.safetensors"
    precision = {"scale": 65536.0, "_growth_tracker": 3}
    save_state(path, 3, models[0], adams[:1], precision)
    assert load_state(path, models[1], adams[1:]) == (3, precision)
    for name, tensor in models[0].state_dict().items():
        assert torch.equal(tensor, models[1].state_dict()[name])
    old, new = (adam.state_dict()["state"] for adam in adams)
    assert json.dumps(sorted(old)) == json.dumps(sorted(new))
    for index, entry in old.items():
        assert all(torch.equal(entry[key], new[index][key]) for key in entry)
    with pytest.raises(CheckpointError, match="does not fit this run's model"):
        load_state(path, torch.nn.Sequential(torch.nn.Linear(3, 4)), adams[1:])


OPTIMIZERS: list[tuple[Callable[..., torch.optim.Optimizer], list[str]]] = [
    (torch.optim.Adam, ["step", "exp_avg", "exp_avg_sq"]),
    (torch.optim.AdamW, ["step", "exp_avg", "exp_avg_sq"]),
    (partial(torch.optim.SGD, momentum=0.9), ["momentum_buffer"]),
    (torch.optim.SGD, []),
]


def _stepped(
    make: Callable[..., torch.optim.Optimizer],
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A network after a step; one layer is frozen, and one has no gradient."""
    model = torch.nn.ModuleDict({name: torch.nn.Linear(3, 3) for name in ("a", "b", "no", "ice")})
    model["ice"].requires_grad_(requires_grad=False)
    optimizer = make(model.parameters(), lr=0.1)
    model["a"](model["b"](torch.ones(2, 3))).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize(("make", "keys"), OPTIMIZERS)
def test_a_state_without_the_tensors_of_its_optimizer(
    tmp_path: Path, make: Callable[..., torch.optim.Optimizer], keys: list[str]
) -> None:
    path = tmp_path / "state.safetensors"
    model, optimizer = _stepped(make)
    save_state(path, 2, model, [optimizer], {})
    tensors, about = safetensors_file.read(path)
    found = sorted(name for name in tensors if name.startswith("optimizer."))
    names = [f"{layer}.{part}" for layer in "ab" for part in ("weight", "bias")]
    assert found == sorted(f"optimizer.{key}.{name}" for key in keys for name in names)
    assert load_state(path, model, [optimizer]) == (2, {})

    def refused(changed: dict[str, Tensor], words: str) -> None:
        safetensors_file.write(path, changed, about)
        with pytest.raises(CheckpointError, match=f"does not fit this run's optimizers: {words}"):
            load_state(path, model, [optimizer])

    for name in found:
        left = {key: tensor for key, tensor in tensors.items() if key != name}
        refused(left, f"{name} is missing$")
        refused(tensors | {name: tensors[name].double()}, f"{name} is float64")
        refused(tensors | {name: torch.zeros(7)}, f"{name} is float32")
    if found:
        none = {key: tensor for key, tensor in tensors.items() if key not in found}
        refused(none, rf"optimizer\.{keys[0]}\..* is missing \(and {len(found) - 1} more\)")
    refused(tensors | {"optimizer.other.a.weight": torch.zeros(3, 3)}, ".* is not part of it")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match="Permission denied"):
        train(parse_config(CONFIG), tmp_path / "run", console=QUIET)
