"""A run that is given more epochs: what it keeps, what it says, and when it is exact."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from short_runs import interrupted_at

from bnnkit.errors import CheckpointError, ConfigError
from bnnkit.training import load_checkpoint, safetensors_file, train
from bnnkit.training.config import Config, parse_config
from bnnkit.training.history import read_history

QUIET = Console(quiet=True)
FILES = ("config.yaml", "checkpoint.safetensors", "state.safetensors")

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")


def _config(*overrides: str) -> Config:
    text = "model: {name: mlp, width: 16}\nepochs: 2\nbatch_size: 128\ndevice: cpu\nwarmup: 0.5\n"
    return parse_config(text, ["eval_samples=2", "augment=crop-flip", *overrides])


def _train(out: Path, *overrides: str) -> str:
    said = io.StringIO()
    train(_config(*overrides), out, console=Console(file=said, width=200))
    return said.getvalue()


def _numbers(out: Path) -> list[dict[str, Any]]:
    """The records of the epochs, without what an evaluation after the last one adds, and times."""
    kept = ("epoch", "train_loss", "train_accuracy", "lr", "validation_loss", "test_loss")
    return [{k: r[k] for k in kept if k in r} for r in read_history(out / "metrics.jsonl")]


@pytest.mark.parametrize("keep", ["last", pytest.param("best", marks=pytest.mark.exhaustive)])
def test_a_constant_schedule_is_exact(tmp_path: Path, keep: str) -> None:
    options = ["schedule=constant", f"keep={keep}"]
    _train(tmp_path / "straight", *options, "epochs=4")
    _train(tmp_path / "extended", *options)
    said = _train(tmp_path / "extended", *options, "epochs=4")
    assert "continuing after epoch 2\n2 epochs become 4; the result is that of a run of 4" in said
    for name in FILES:
        both = [(tmp_path / run / name).read_bytes() for run in ("straight", "extended")]
        assert both[0] == both[1], name
    assert _numbers(tmp_path / "straight") == _numbers(tmp_path / "extended")
    assert "nothing to do" in _train(tmp_path / "extended", *options, "epochs=4")


def test_a_finished_run_stores_a_preprocessing_that_is_added(tmp_path: Path) -> None:
    _train(tmp_path)
    file = tmp_path / "checkpoint.safetensors"
    before, _ = safetensors_file.read(file)
    said = _train(tmp_path, "data.preprocessing={resize: 12}")
    assert "continuing after epoch 2" in said
    after, _ = safetensors_file.read(file)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    stored = load_checkpoint(file).config.data.preprocessing
    assert stored is not None
    assert stored["resize"] == 12
    assert "nothing to do" in _train(tmp_path, "data.preprocessing={resize: 12}")
    (tmp_path / "state.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"without its state.* another data.preprocessing; ch"):
        _train(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("lr", ["0.01", "0.5"])  # with 0.5 the last of 3 epochs is not the best
def test_evaluations_are_those_of_a_whole_run(tmp_path: Path, lr: str) -> None:
    """Epoch 3 is evaluated because it is the last; in a run of 5 epochs it is not."""
    every = ["eval_every=2", "eval_samples_every=2"]
    options = ["schedule=constant", "keep=best", f"lr={lr}", *every]
    _train(tmp_path / "straight", *options, "epochs=5")
    _train(tmp_path / "extended", *options, "epochs=3")
    _train(tmp_path / "extended", *options, "epochs=5")
    straight, extended = (
        read_history(tmp_path / run / "metrics.jsonl") for run in ("straight", "extended")
    )
    for record in (*straight, *extended):
        for key in ("seconds", "images_per_second"):
            record.pop(key, None)
    assert straight == extended
    assert [r["epoch"] for r in extended if "validation_loss" in r] == [2, 4, 5, 5]
    for name in FILES:
        both = [(tmp_path / run / name).read_bytes() for run in ("straight", "extended")]
        assert both[0] == both[1], name
    best, same = (  # their configurations differ: one was written in a run of 3 epochs
        safetensors_file.read(tmp_path / run / "best.safetensors")[0]
        for run in ("straight", "extended")
    )
    assert all(torch.equal(best[name], same[name]) for name in best)


def test_other_schedules_say_how_they_go_on(tmp_path: Path) -> None:
    _train(tmp_path)
    said = _train(tmp_path, "epochs=4")
    assert (
        "2 epochs become 4; from here on, the learning rates are those of a 4-epoch run"
        " (now 0.5 of the peak rate). Epochs 1 to 2 had others, so the result is not that of a "
        "4-epoch run"
    ) in said
    rates = [r["lr"] for r in read_history(tmp_path / "metrics.jsonl") if "lr" in r]
    straight = tmp_path / "straight"
    _train(straight, "epochs=4")
    expected = [r["lr"] for r in read_history(straight / "metrics.jsonl") if "lr" in r]
    assert rates[2:] == expected[2:]
    assert rates[:2] != expected[:2]


@pytest.mark.exhaustive
def test_a_scheduled_rule_depends_on_the_number_of_epochs(tmp_path: Path) -> None:
    options = ["schedule=constant", "model.weight_rule=recu", "model.weight_noise=none"]
    _train(tmp_path, *options)
    assert "from here on, the settings of the weight rule are those of a 3-epoch run" in _train(
        tmp_path, *options, "epochs=3"
    )


@pytest.mark.slow
def test_an_extension_that_is_stopped_keeps_the_former_network(tmp_path: Path) -> None:
    for run in ("straight", "stopped"):
        _train(tmp_path / run)
    _train(tmp_path / "straight", "epochs=4")
    before = (tmp_path / "stopped" / "checkpoint.safetensors").read_bytes()
    with interrupted_at(15):  # in the second epoch of this call
        _train(tmp_path / "stopped", "epochs=4")
    assert (tmp_path / "stopped" / "checkpoint.safetensors").read_bytes() == before
    assert load_checkpoint(tmp_path / "stopped").config.epochs == 2
    assert _train(tmp_path / "stopped", "epochs=4").startswith("continuing after epoch 3\n")
    for name in FILES:
        both = [(tmp_path / run / name).read_bytes() for run in ("straight", "stopped")]
        assert both[0] == both[1], name


def test_what_cannot_be_extended(tmp_path: Path) -> None:
    _train(tmp_path)
    with pytest.raises(ConfigError, match=r"epochs is 2, not 1 \(.* more epochs, not fewer\)"):
        train(_config("epochs=1"), tmp_path, console=QUIET)
    with pytest.raises(ConfigError, match=r"its lr is 0.01, not 0.5\. Choose"):
        train(_config("epochs=3", "lr=0.5"), tmp_path, console=QUIET)
    (tmp_path / "state.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"2 epochs without its state.* go on to 3; choose"):
        train(_config("epochs=3"), tmp_path, console=QUIET)
    assert train(_config(), tmp_path, console=QUIET).was_finished
    (tmp_path / "checkpoint.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="truncated"):
        train(_config(), tmp_path, console=QUIET)
