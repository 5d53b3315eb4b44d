"""What a person sees: tables on standard output, a progress bar on standard error."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any

import click

WIDTH_IN_A_FILE = 160
"""Columns where the output is no terminal, so that nothing is cut off."""


def write(line: str) -> None:
    """Print a line for a person."""
    click.echo(line)


def print_json(content: Any) -> None:
    """Print an object as JSON; NaN and infinities, which JSON lacks, become null."""
    click.echo(json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str] = ()
) -> None:
    """Print a table.

    Args:
        title: Stands above it.
        columns: Headers.
        rows: As many cells each as there are columns.
        left: Headers of columns of words, which are aligned left; numbers are aligned right.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    output = console()
    output.print(title, style="bold", soft_wrap=True)
    output.print(table)


def console(**options: Any) -> Any:
    """A rich console on standard output."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would exit with 1, which says that a check failed

    plain = Piped(highlight=False, markup=False, soft_wrap=False, **options)
    if not plain.is_terminal:
        plain.width = WIDTH_IN_A_FILE
    return plain


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for long work, in a terminal only; the function that it gives advances the bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    errors = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Tell in a terminal what is being done, for work whose end cannot be foretold."""
    errors = console(stderr=True)
    if errors.is_terminal:
        with errors.status(label):
            yield
    else:
        yield
