"""The most probable classes of images, as a table, CSV or JSON."""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from bnnkit.cli.console import json_text, print_json, print_table, write
from bnnkit.files.atomic import write_text
from bnnkit.files.csv_table import csv_text
from bnnkit.runtime.classification import Classification

SUFFIXES: Final = (".csv", ".json")
"""The suffixes of files that hold classes."""


def write_classes(path: Path, found: Sequence[Classification]) -> None:
    """Write a .csv or .json file atomically.

    Raises:
        FileError: If the file cannot be written.
    """
    text = csv_text(_rows(found)) if path.suffix == ".csv" else f"{json_text(_objects(found))}\n"
    write_text(path, text)


def print_classes(found: Sequence[Classification], style: str) -> None:
    """Print the classes of images.

    Args:
        found: Of each image.
        style: "table", "csv" or "json".
    """
    if style == "json":
        print_json(_objects(found))
    elif style == "csv":
        click.echo(csv_text(_rows(found)), nl=False)
    elif len(found) == 1:
        rows = [(top.label, f"{top.probability:.4f}") for top in found[0].top]
        print_table(found[0].image, ("class", "probability"), rows, left=("class",))
        if found[0].samples:
            write(_uncertainty(found[0]))
    else:
        columns = ("image", "class", "probability", "next")
        print_table(
            "classes", columns, [_row(one) for one in found], left=("image", "class", "next")
        )


def _row(found: Classification) -> tuple[str, ...]:
    others = ", ".join(f"{top.label} {top.probability:.4f}" for top in found.top[1:])
    return found.image, found.label, f"{found.probability:.4f}", others


def _uncertainty(found: Classification) -> str:
    text = f"samples: {found.samples}"
    if found.entropy is None or found.mutual_information is None:
        return text
    return (
        f"{text}; entropy {found.entropy:.4f} nats, of which the samples' disagreement "
        f"(mutual information) {found.mutual_information:.4f}"
    )


def _objects(found: Sequence[Classification]) -> list[dict[str, Any]]:
    return [asdict(one) for one in found]


def _rows(found: Sequence[Classification]) -> list[dict[str, Any]]:
    """Return a row for each image and class."""
    return [
        {
            "image": _without_controls(one.image),
            "rank": rank,
            **asdict(top) | {"label": _without_controls(top.label)},
            "entropy": one.entropy,
            "mutual_information": one.mutual_information,
            "samples": one.samples,
        }
        for one in found
        for rank, top in enumerate(one.top, 1)
    ]


def _without_controls(text: str) -> str:
    """Escape what CSV has no form for: controls, which a terminal obeys, and bytes of file names.

    Spaces of all kinds stay, unlike in `printable`: names of files are compared with these cells.
    """
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c)[0] == "C" else c
        for c in text
    )
