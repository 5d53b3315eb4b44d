"""The results of a sweep as a table."""

from pathlib import Path
from typing import TYPE_CHECKING

from bnnkit.cli.console import print_table, write

if TYPE_CHECKING:
    from bnnkit.sweeps.summary import Setting, Spread, Summary

_PARTS = ("validation", "test")
_SUFFIXES = ("", "_samples")


def print_sweep(summary: "Summary", out: Path) -> None:
    """Print a row for each setting, and which one is the best."""
    shown = _shown(summary)
    keys = list(dict.fromkeys(key for setting in summary.settings for key in setting.values))
    rows = [
        (
            *(_value(setting, key) for key in keys),
            _runs(setting),
            *(_words(key, setting.scores.get(key)) for key in shown),
            "best" if index == summary.best else "",
        )
        for index, setting in enumerate(summary.settings)
    ]
    columns = (*keys, "runs", *shown.values(), "choice")
    if summary.best is None:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    print_table(f"sweep in {out}, mean ± standard deviation", columns, rows, left=keys)
    write(_choice(summary))


def _shown(summary: "Summary") -> dict[str, str]:
    """Return the scores to show, and their headings: accuracies or errors."""
    present = {key for setting in summary.settings for key in setting.scores}
    for quantity in ("accuracy", "mae"):
        keys = [f"{part}_{quantity}{suffix}" for part in _PARTS for suffix in _SUFFIXES]
        found = {key: _heading(key) for key in keys if key in present}
        if found:
            return found
    return {}


def _heading(key: str) -> str:
    """Return the words for a score, such as "validation accuracy, samples"."""
    return key.replace("_samples", ", samples").replace("_", " ")


def _value(setting: "Setting", key: str) -> str:
    from bnnkit.sweeps.grid import value_words

    return value_words(setting.values[key]) if key in setting.values else ""


def _runs(setting: "Setting") -> str:
    others = {"diverged": setting.diverged, "not finished": setting.missing}
    return ", ".join(
        [str(setting.finished), *(f"{count} {words}" for words, count in others.items() if count)]
    )


def _words(key: str, spread: "Spread | None") -> str:
    if spread is None:
        return ""
    is_share = "accuracy" in key
    mean, std = (
        "" if number is None else f"{100 * number:.2f}" if is_share else f"{number:.4f}"
        for number in (spread.mean, spread.std)
    )
    return f"{mean}{f' ± {std}' if std else ''}{' %' if is_share else ''}"


def _choice(summary: "Summary") -> str:
    from bnnkit.sweeps.grid import words

    if summary.best is not None and summary.criterion is not None:
        best = words(summary.settings[summary.best].values)
        return f"best by the mean of {_heading(summary.criterion)}: {best}"
    missing = sum(setting.missing for setting in summary.settings)
    if missing:
        runs = "1 run is" if missing == 1 else f"{missing} runs are"
        return f"{runs} not finished; repeat the command for the whole table"
    if len(summary.settings) == 1:
        return "one setting; the spread is over its runs"
    return "nothing is chosen: expected validation scores of runs that did not diverge"
