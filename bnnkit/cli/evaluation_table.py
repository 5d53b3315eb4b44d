"""Evaluations of ensembles as a table."""

from collections.abc import Sequence

from bnnkit.cli.console import print_table
from bnnkit.evaluation.evaluate import Evaluation


def print_evaluations(found: Sequence[Evaluation], title: str) -> None:
    """Print a row for each number of samples."""
    columns = ("samples", "mean samples", "accuracy", "nll", "brier", "ece", "us per image")
    rows = [
        (
            str(one.samples),
            f"{one.mean_samples:.2f}",
            f"{one.accuracy:.2%}",
            *(f"{number:.4f}" for number in (one.nll, one.brier, one.ece)),
            f"{one.microseconds:,.1f}",
        )
        for one in found
    ]
    print_table(title, columns, rows)
