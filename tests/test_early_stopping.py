"""Runs that finish when the validation loss no longer falls."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bnnkit.errors import ConfigError
from bnnkit.training import train
from bnnkit.training.config import Config, parse_config
from bnnkit.training.early_stopping import is_out_of_patience
from bnnkit.training.history import read_history
from bnnkit.training.loop import Loop

FILES = ("state.safetensors", "best.safetensors", "checkpoint.safetensors")
SCRIPTED = [3.0, 2.0, 2.5, 2.0, 1.0]
"""Losses of the epochs: with a patience of 2 the run stops after epoch 4."""

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")


@pytest.mark.parametrize(
    ("losses", "patience", "stops"),
    [
        ([], 1, False),
        ([1.0], 1, False),
        ([1.0, 1.0], 1, True),
        ([3.0, 2.0, 2.5], 2, False),
        ([3.0, 2.0, 2.5, 2.0], 2, True),
        ([3.0, None, None], 2, False),
        ([3.0, None, 3.5], 2, True),
        ([float("nan")] * 3, 3, True),
        ([1.0, 2.0, 3.0], None, False),
    ],
)
def test_patience_counts_epochs(
    losses: list[float | None], patience: int | None, stops: bool
) -> None:
    records = [
        {"epoch": epoch} | ({} if loss is None else {"validation_loss": loss})
        for epoch, loss in enumerate(losses, 1)
    ]
    assert is_out_of_patience(records, patience) == stops


def _config(*overrides: str) -> Config:
    text = (
        "{model: {name: mlp, width: 16}, epochs: 6, batch_size: 128, device: cpu, patience: 2,"
        " eval_samples: 0, recalibrate: 4, save_every: 10, ema: 0.9}"
    )
    return parse_config(text, overrides)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the epochs scripted validation losses."""

    scores = Loop._scores

    def changed(self: Loop, epoch: int, has_ensemble: bool) -> dict[str, Any]:
        return scores(self, epoch, has_ensemble) | {"validation_loss": SCRIPTED[epoch - 1]}

    monkeypatch.setattr(Loop, "_scores", changed)


def _train(out: Path, *overrides: str) -> str:
    said = io.StringIO()
    train(_config(*overrides), out, console=Console(file=said, width=200))
    return said.getvalue()


@pytest.mark.usefixtures("scripted")
def test_a_run_finishes_early_and_exactly_after_a_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _train(tmp_path / "straight")
    assert "stopped early, after epoch 4: the validation loss has not fallen for 2 epochs" in said
    *epochs, final = read_history(tmp_path / "straight" / "metrics.jsonl")
    assert [r["epoch"] for r in epochs] == [1, 2, 3, 4]
    assert (final["epoch"], final["final"]) == (4, True)
    assert "nothing to do" in _train(tmp_path / "straight")

    def interrupting(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("bnnkit.training.loop.finish", interrupting)
        with pytest.raises(KeyboardInterrupt):
            _train(tmp_path / "stopped")
    said = _train(tmp_path / "stopped")
    assert said.startswith("continuing after epoch 4\nstopped early, after epoch 4")
    for name in FILES:
        both = [(tmp_path / run / name).read_bytes() for run in ("straight", "stopped")]
        assert both[0] == both[1], name


def test_patience_needs_validation_examples(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="patience needs validation examples"):
        train(_config("validation=0"), tmp_path, console=Console(quiet=True))
