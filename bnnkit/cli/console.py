"""Output for people: lines and tables on standard output, progress bars on standard error."""

import json
import os
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf, isfinite
from pathlib import Path
from typing import Any, TextIO

import click

from bnnkit.cli.column_widths import column_widths
from bnnkit.errors import printable

WIDTH_IN_A_FILE = 160
"""The width in columns if the output is not a terminal and the user has not set COLUMNS."""
_WIDE_GAP, _TIGHT_GAP = 3, 2
"""The characters between two columns of a table."""
_MOST_LINES = 4
"""The most lines of a cell; a table with longer cells becomes a list."""
_MARGINS = 4
"""The characters on both sides of a table with wide gaps."""


def write(line: str) -> None:
    """Print a line, which a terminal shows broken between words.

    Control characters of names in a file are escaped.
    """
    output, shown = console(), printable(line)
    fits = not output.is_terminal or len(shown) <= output.width
    click.echo(shown if fits else _wrapped(shown, output.width))


def write_note(line: str) -> None:
    """Print a remark on standard error, so that it does not mix with results."""
    click.echo(f"note: {line}", err=True)


def show_warnings_in_a_line() -> None:
    """Have bnnkit's own warnings printed without Python's file, line and source code."""
    former, package = warnings.showwarning, str(Path(__file__).parent.parent)

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if Path(filename).is_relative_to(package):
            click.echo(f"warning: {message}", err=True)
        else:
            former(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def print_json(content: Any) -> None:
    """Print an object as JSON, as `json_text`."""
    click.echo(json_text(content))


def json_text(content: Any) -> str:
    """Return an object as JSON; NaN and infinities, which JSON lacks, become null."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    return "\n".join(line if line.isprintable() else _ascii(line) for line in text.split("\n"))


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
    """Print a table, with lines broken between words only.

    A table that is too wide for that becomes a list with an entry for each row.

    Args:
        title: The title above the table.
        columns: The headings.
        rows: The cells, one for each column.
        left: The headings of columns that are aligned left; the others are aligned right.
    """
    title, rows = printable(title), [[printable(cell) for cell in row] for row in rows]
    output = console()
    output.print(title, style="bold", soft_wrap=not output.is_terminal)
    cells = [[column, *(row[i] for row in rows)] for i, column in enumerate(columns)]
    n_gaps, whole = len(columns) - 1, sum(max(map(len, column)) for column in cells)
    is_tight = whole + _WIDE_GAP * n_gaps + _MARGINS > output.width
    room = output.width - _TIGHT_GAP * n_gaps if is_tight else whole
    widths = column_widths(cells, room)
    if widths is None or _is_broken_up(cells, widths):
        _print_entries(columns, rows, output.width)
        return
    table = _empty_table(is_tight)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, justify="left" if column in left else "right", width=width)
    for row in rows:
        table.add_row(*row)
    output.print(table)
    if is_tight:
        output.print()


def _is_broken_up(columns: Sequence[Sequence[str]], widths: Sequence[int]) -> bool:
    """Return whether a cell would take more than `_MOST_LINES` lines."""
    pairs = zip(columns, widths, strict=True)
    return any(len(cell) > _MOST_LINES * width for column, width in pairs for cell in column)


def _empty_table(is_tight: bool) -> Any:
    """Create a table with gaps as `_TIGHT_GAP` or `_WIDE_GAP` and `_MARGINS` say."""
    from rich import box
    from rich.table import Table

    tight: dict[str, Any] = {"padding": (0, 1, 0, 0), "pad_edge": False, "show_edge": False}
    return Table(box=box.SIMPLE_HEAD, **(tight if is_tight else {}))


def _print_entries(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> None:
    """Print each row as its first cell and, indented, its other cells with their headings."""
    for first, *others in rows:
        pairs = zip(columns[1:], others, strict=True)
        click.echo(_wrapped(first, width, "  "))
        text = "; ".join(f"{name}: {cell}" for name, cell in pairs if cell)
        click.echo(_wrapped(text, width, "    "))
    click.echo()


def _wrapped(text: str, width: int, indent: str = "") -> str:
    """Break a line between words; a longer word has a line of its own."""
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def console(**options: Any) -> Any:
    """Create a rich console on standard output."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would exit with 1, bnnkit's code for a failed check

    plain = Piped(highlight=False, markup=False, soft_wrap=False, **options)
    if not plain.is_terminal and not _is_width_asked_for():
        plain.width = WIDTH_IN_A_FILE
    return plain


def _is_width_asked_for() -> bool:
    """Return whether the user has set COLUMNS.

    GNU readline sets it too, for the child processes of an interactive program, together with
    LINES.
    """
    return os.environ.get("COLUMNS", "").isdigit() and "LINES" not in os.environ


@contextmanager
def progress(
    label: str, total: int, *, seconds_a_line: float = inf
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar in a terminal; yields the function that advances it.

    Args:
        label: What is done.
        total: The number of steps.
        seconds_a_line: The seconds between two lines, which replace the bar if standard error is
            not a terminal.
    """
    errors = console(stderr=True)
    if not errors.is_terminal:
        yield _lines(label, total, seconds_a_line)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(label, total=total)

        def show(text: str) -> None:
            bar.update(task, description=text)

        with _compilations(show, label):
            yield lambda done: bar.advance(task, done)


def _lines(label: str, total: int, seconds_a_line: float) -> Callable[[int], None]:
    """Return a function that counts what is done, and prints it now and then."""
    done, last = 0, time.monotonic()

    def advance(number: int) -> None:
        nonlocal done, last
        done += number
        if time.monotonic() - last >= seconds_a_line:
            last = time.monotonic()
            click.echo(f"{label}: {done:,} of {total:,}", err=True)

    return advance


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
