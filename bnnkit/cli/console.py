"""Output for people: lines and tables on standard output, progress bars on standard error."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from math import isfinite
from typing import Any

import click

from bnnkit.errors import printable

WIDTH_IN_A_FILE = 160
"""The width in columns if the output is not a terminal, so that nothing is cut off."""


def write(line: str) -> None:
    """Print a line; control characters of names in a file are escaped."""
    click.echo(printable(line))


def write_note(line: str) -> None:
    """Print a remark on standard error, so that it does not mix with results."""
    click.echo(f"note: {line}", err=True)


def print_json(content: Any) -> None:
    """Print an object as JSON; NaN and infinities, which JSON lacks, become null."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    click.echo(
        "\n".join(line if line.isprintable() else _ascii(line) for line in text.split("\n"))
    )


def _ascii(line: str) -> str:
    """Write a line of JSON with the escapes that JSON has for characters."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


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
        title: The title above the table.
        columns: The headings.
        rows: The cells, one for each column.
        left: The headings of columns that are aligned left; the others are aligned right.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    output = console()
    output.print(printable(title), style="bold", soft_wrap=True)
    output.print(table)


def console(**options: Any) -> Any:
    """Create a rich console on standard output."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would exit with 1, bnnkit's code for a failed check

    plain = Piped(highlight=False, markup=False, soft_wrap=False, **options)
    if not plain.is_terminal:
        plain.width = WIDTH_IN_A_FILE
    return plain


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar in a terminal; yields the function that advances it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    errors = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(label, total=total)

        def show(text: str) -> None:
            bar.update(task, description=text)

        with _compilations(show, label) if errors.is_terminal else nullcontext():
            yield lambda done: bar.advance(task, done)


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Show a status line in a terminal, for work of unknown length."""
    errors = console(stderr=True)
    if errors.is_terminal:
        with errors.status(label) as status, _compilations(status.update, label):
            yield
    else:
        yield


@contextmanager
def _compilations(show: Callable[[str], None], label: str) -> Iterator[None]:
    """Show a line for each kernel that is compiled, which takes up to two seconds; then the label.

    Only the first run on a computer compiles kernels.
    """
    from bnnkit.runtime.kernels.compiled import announcing

    def announce(number: int, total: int) -> None:
        show(f"compiling kernels once, {number} of {total}" if number <= total else label)

    with announcing(announce):
        yield
