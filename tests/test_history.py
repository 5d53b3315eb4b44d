"""metrics.jsonl and its picture."""

import json
from pathlib import Path
from typing import Any

import pytest

from bnnkit.training.curves import draw_curves
from bnnkit.training.history import History, read_history


def test_history_drops_what_is_past_the_epoch_and_a_cut_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"epoch": epoch, "loss": epoch / 3}) for epoch in (1, 2, 3)]
    path.write_text("\n".join([*lines, '{"epoch": 3, "final": true}', '{"epo']))
    assert [record["epoch"] for record in read_history(path)] == [1, 2, 3, 3]
    history = History(path)
    history.restart_after(2)
    history.append({"epoch": 3, "again": True})
    assert read_history(path) == history.records
    assert path.read_text().splitlines()[:2] == lines[:2]
    assert history.records[2] == {"epoch": 3, "again": True}
    assert read_history(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("n_epochs", [1, 2, 40])
def test_curves_are_a_picture(tmp_path: Path, n_epochs: int) -> None:
    pytest.importorskip("matplotlib")
    records: list[dict[str, Any]] = [
        {"epoch": e, "train_loss": 1 / e, "train_accuracy": 1 - 1 / (e + 1)}
        for e in range(1, n_epochs + 1)
    ]
    records[-1] |= {"validation_loss": 0.1, "validation_accuracy": 0.9}
    records.append({"epoch": n_epochs, "final": True, "test_loss": 0.1, "test_accuracy": 0.95})
    draw_curves(records, tmp_path / "curves.png", "made")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_all_points_of_the_curves_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    records: list[dict[str, Any]] = [
        {"epoch": e, "train_loss": 9 / e, "validation_loss": 1 + e % 7}
        | {"train_accuracy": 1 - 0.9 / e, "validation_accuracy": 0.5 if e == 1 else 0.9}
        for e in range(1, 41)
    ]
    records.append({"epoch": 40, "final": True, "test_loss": 0.1, "test_accuracy": 0.95})
    draw_curves(records, tmp_path / "curves.png", "made", training="training, noisy signs")
    for axes in drawn[0].axes:
        assert [len(line.get_xdata()) for line in axes.lines[:4]] == [40, 0, 40, 1]
        low, high = axes.get_ylim()
        values = [y for line in axes.lines for y in line.get_ydata()]
        assert low < min(values) < max(values) < high
    (legend,) = drawn[0].legends
    assert legend.get_texts()[0].get_text() == "training, noisy signs"
