"""Evaluations of ensembles as a table."""

from collections.abc import Sequence

from bnnkit.cli.console import print_table
from bnnkit.evaluation.evaluate import Cost, Evaluation, LabelEvaluation, ValueEvaluation

_SHOWN: dict[type[Cost], dict[str, str]] = {
    Evaluation: {"accuracy": ".2%", "nll": ".4f", "brier": ".4f", "ece": ".4f"},
    LabelEvaluation: {
        "accuracy": ".2%",
        "exact_match": ".2%",
        "mean_average_precision": ".4f",
        "nll": ".4f",
    },
    ValueEvaluation: {"mae": ".4g", "rmse": ".4g", "r2": ".4f"},
}
"""The metrics in the columns, with their formats."""


def print_evaluations(found: Sequence[Cost], title: str) -> None:
    """Print a row for each number of samples."""
    shown = _SHOWN[type(found[0])]
    names = (name.replace("_", " ") for name in shown)
    columns = ("samples", "mean samples", *names, "us per image")
    rows = [
        (
            str(one.samples),
            f"{one.mean_samples:.2f}",
            *(format(getattr(one, name), form) for name, form in shown.items()),
            f"{one.microseconds:,.1f}",
        )
        for one in found
    ]
    print_table(title, columns, rows)
