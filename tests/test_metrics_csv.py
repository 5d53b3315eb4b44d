"""The records of a run as a table."""

import csv
from pathlib import Path

import pytest
from rich.console import Console

from bnnkit.errors import ConfigError
from bnnkit.files.csv_table import write_csv
from bnnkit.training import train
from bnnkit.training.config import differences, parse_config
from bnnkit.training.flat import flat
from bnnkit.training.history import read_history


def test_a_table_has_a_row_per_record_and_a_column_per_key(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    records = [
        {"epoch": 1, "train_loss": 0.1 + 0.2, "flip_rates": {"a.0": 0.5, "b": 1e-06}},
        {"epoch": 1, "final": True, "noise": 'x, "y"'},
    ]
    write_csv(path, [flat(record) for record in records])
    assert path.read_text() == (
        "epoch,train_loss,flip_rates.a.0,flip_rates.b,final,noise\n"
        "1,0.30000000000000004,0.5,1e-06,,\n"
        '1,,,,True,"x, ""y"""\n'
    )


def test_a_run_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnnkit.training.finish.draw_curves", lambda *_, **__: None)
    text = (
        "{model: {name: mlp, width: 16}, epochs: 2, batch_size: 128, device: cpu,"
        " eval_samples: 0, recalibrate: 0, log: [csv]}"
    )
    train(parse_config(text), tmp_path, console=Console(quiet=True))
    records = read_history(tmp_path / "metrics.jsonl")
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 2]
    for key in ("train_loss", "validation_loss", "seconds", "test_accuracy"):
        found = [float(row[key]) if row[key] else None for row in rows]
        assert found == [record.get(key) for record in records]
    rates = [record["flip_rates"]["features.4"] for record in records[:2]]
    assert [float(row["flip_rates.features.4"]) for row in rows[:2]] == rates


def test_a_form_that_is_unknown() -> None:
    with pytest.raises(ConfigError, match=r"log\.0: expected 'csv' or 'tensorboard', got 'xml'"):
        parse_config("log: [xml]")
    assert differences(parse_config("log: [csv]"), parse_config("")) == []
