"""The results of a sweep as files: sweep.json, sweep.csv and runs.csv."""

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from bnnkit.files.atomic import write_text
from bnnkit.files.csv_table import write_csv
from bnnkit.sweeps.grid import value_words
from bnnkit.sweeps.run import Run
from bnnkit.sweeps.summary import Setting, Summary, scores_of, summarise


def write_tables(out: Path, runs: Sequence[Run]) -> None:
    """Write all results into the folder of a sweep.

    Files:
        sweep.json: The value of `as_json`.
        sweep.csv: A row for each setting, with columns such as test_accuracy_mean and
            test_accuracy_std.
        runs.csv: A row for each run.

    Raises:
        FileError: A file cannot be written.
    """
    summary = summarise(runs)
    text = json.dumps(as_json(runs, summary), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(out / "sweep.json", text + "\n")
    write_csv(out / "sweep.csv", [_setting_row(setting) for setting in summary.settings])
    write_csv(out / "runs.csv", [_run_row(run) for run in runs])


def as_json(runs: Sequence[Run], summary: Summary) -> dict[str, Any]:
    """Return the results as values for JSON; accuracies are fractions.

    Numbers that are infinite or NaN, which JSON lacks, are None.
    """
    return {
        "criterion": summary.criterion,
        "settings": [
            {
                "values": dict(setting.values),
                "is_best": index == summary.best,
                "finished": setting.finished,
                "diverged": setting.diverged,
                "missing": setting.missing,
                "scores": {
                    key: {"mean": _finite(spread.mean), "std": spread.std}
                    for key, spread in setting.scores.items()
                },
            }
            for index, setting in enumerate(summary.settings)
        ],
        "runs": [
            {
                "folder": run.variant.name,
                "values": dict(run.variant.values),
                "status": run.status,
                "epoch": run.record.get("epoch"),
                "scores": {key: _finite(v) for key, v in scores_of(run.record).items()},
            }
            for run in runs
        ],
    }


def _finite(number: float) -> float | None:
    return number if isfinite(number) else None


def _setting_row(setting: Setting) -> dict[str, Any]:
    row: dict[str, Any] = {key: value_words(value) for key, value in setting.values.items()}
    row |= {name: getattr(setting, name) for name in ("finished", "diverged", "missing")}
    for key, spread in setting.scores.items():
        row |= {f"{key}_mean": spread.mean, f"{key}_std": spread.std}
    return row


def _run_row(run: Run) -> dict[str, Any]:
    values = {key: value_words(value) for key, value in run.variant.values.items()}
    about = {"folder": run.variant.name, "status": run.status, "epoch": run.record.get("epoch")}
    return values | about | scores_of(run.record)
