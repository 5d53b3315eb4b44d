"""The records of a run for TensorBoard."""

import importlib
import importlib.util
from pathlib import Path

import pytest
from rich.console import Console

from bnnkit.errors import ConfigError
from bnnkit.training import train
from bnnkit.training.config import parse_config
from bnnkit.training.history import Record
from bnnkit.training.tensorboard_log import write_tensorboard


def test_without_tensorboard_no_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec

    def without(name: str) -> object:
        return None if name == "tensorboard" else find_spec(name)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    config = parse_config("{model: {name: mlp}, device: cpu, log: [csv, tensorboard]}")
    with pytest.raises(ConfigError, match="tensorboard is not installed: pip install"):
        train(config, tmp_path / "run", console=Console(quiet=True))
    assert list(tmp_path.iterdir()) == []


def test_scalars_are_read_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    records: list[Record] = [
        {"epoch": 1, "train_loss": 0.5, "flip_rates": {"features.4": 0.25}},
        {"epoch": 2, "train_loss": 0.25},
        {"epoch": 2, "final": True, "test_accuracy": 0.75, "noise": "logistic"},
    ]
    for written in (records[:1], records):  # the second call replaces the first
        write_tensorboard(tmp_path, written)
    events = reader.EventAccumulator(str(tmp_path))
    events.Reload()
    found = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    assert found == {
        "train_loss": [(1, 0.5), (2, 0.25)],
        "flip_rates/features.4": [(1, 0.25)],
        "final/test_accuracy": [(2, 0.75)],
    }
