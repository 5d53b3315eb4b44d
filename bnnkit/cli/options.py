"""Options and arguments that several commands share, so that each means the same everywhere."""

from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Item = TypeVar("Item", str, int)

PATH = click.Path(path_type=Path)


def names(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Callback for a list of names with commas: "bnnkit,onnxruntime"."""
    found = tuple(name.strip() for name in value.split(","))
    if not all(found):
        raise click.BadParameter(f"expected names with commas between them, got {value!r}")
    return _without_repeats(found, value)


def counts(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Callback for a list of positive integers with commas: "1,2,4"."""
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"expected positive integers with commas, got {value!r}")
    return _without_repeats([int(part) for part in parts], value)


def seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Callback for a time: positive and finite."""
    if not (value > 0 and isfinite(value)):
        raise click.BadParameter(f"expected a positive number of seconds, got {value}")
    return value


def _without_repeats(items: Sequence[Item], value: str) -> tuple[Item, ...]:
    if len(set(items)) < len(items):
        raise click.BadParameter(f"expected each one once, got {value!r}")
    return tuple(items)


def data_dir(command: Decorated) -> Decorated:
    """The option --data-dir."""
    return click.option(
        "--data-dir",
        type=PATH,
        metavar="DIR",
        help="The folder with the standard files of the data set; data/NAME without it.",
    )(command)


def samples(command: Decorated) -> Decorated:
    """The options --samples and --seed."""
    command = click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Of the noise; the deterministic pass has none.",
    )(command)
    return click.option(
        "--samples",
        type=click.IntRange(min=0),
        metavar="M",
        help="Samples of the noise to average over; 0 is the deterministic pass, the only one "
        "that files of format 1 hold.",
    )(command)


def threads(command: Decorated) -> Decorated:
    """The option --threads, one number."""
    return click.option(
        "--threads",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Threads to compute with; the result is the same for every number.",
    )(command)


def as_json(command: Decorated) -> Decorated:
    """The flag --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON, for programs, in place of a table."
    )(command)


def is_checkpoint(path: Path) -> bool:
    """Whether a CKPT_OR_MODEL is a checkpoint: a run's folder, or a safetensors file."""
    return path.is_dir() or path.suffix == ".safetensors"
