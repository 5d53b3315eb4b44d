"""Options and arguments that several commands share, with the same meaning in each."""

import json
import os
from collections.abc import Callable, Sequence
from copy import copy
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from click.core import ParameterSource

from bnnkit.artifact.ensemble_config import DEFAULT_ERROR_RATE, DEFAULT_MAX_SAMPLES, Samples
from bnnkit.bench.system_files import cpu_list
from bnnkit.cli.console import write_note
from bnnkit.data import DATASETS
from bnnkit.data import trust_code as trusting
from bnnkit.zoo import located

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Item = TypeVar("Item", str, int, Samples)

DATA_NAMES = ", ".join(DATASETS)
"""The data sets with names, for help texts."""
AUTO: Literal["auto"] = "auto"
PATH = click.Path(path_type=Path)


class ModelPath(click.Path):
    """The path of a model file or a checkpoint, or zoo:NAME for a model of the zoo."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """Return the path, of the file in the package for zoo:NAME."""
        return located(Path(value))


MODEL = ModelPath()


def names(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Parse a list of names such as "bnnkit,onnxruntime"; None if the option is not given."""
    if value is None:
        return None
    found = tuple(name.strip() for name in value.split(","))
    if not all(found):
        raise click.BadParameter(f"expected names separated by commas, got {value!r}")
    return _without_repeats(found, value)


def counts(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Parse a list of positive integers such as "1,2,4"."""
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"expected positive integers separated by commas, got {value!r}")
    return _without_repeats([int(part) for part in parts], value)


def cpus(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Parse a list of CPUs such as "0-3,6"; None if the option is not given."""
    if value is None:
        return None
    try:
        return cpu_list(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Check that a time is positive and finite."""
    if not (value > 0 and isfinite(value)):
        raise click.BadParameter(f"expected a positive number of seconds, got {value}")
    return value


def _without_repeats(items: Sequence[Item], value: str) -> tuple[Item, ...]:
    if len(set(items)) < len(items):
        raise click.BadParameter(f"expected each one once, got {value!r}")
    return tuple(items)


def data_dir(command: Decorated) -> Decorated:
    """Add the option --data-dir."""
    return click.option(
        "--data-dir",
        type=PATH,
        metavar="DIR",
        help="The folder with the standard files of the data set.  [default: data/NAME].",
    )(command)


def with_data_dir(overrides: Sequence[str], folder: Path | None) -> tuple[str, ...]:
    """Return the overrides of a configuration, with the value of --data-dir as its data.dir."""
    return (*overrides, *([] if folder is None else [f"data.dir={json.dumps(str(folder))}"]))


def trust_code(command: Decorated) -> Decorated:
    """Add the option --trust-code, which is in effect until the command ends."""

    def trust(context: click.Context, _: click.Parameter, modules: tuple[str, ...]) -> None:
        context.with_resource(trusting(*modules))

    return click.option(
        "--trust-code",
        metavar="MODULE",
        multiple=True,
        expose_value=False,
        callback=trust,
        help="Run code of this Python module where a configuration, a checkpoint or --data names "
        "a function of it as MODULE:FUNCTION. Can be given several times.",
    )(command)


def numbers_of_samples(
    context: click.Context, parameter: click.Parameter, value: str
) -> tuple[Samples, ...]:
    """Parse a list of numbers of samples such as "0,1,10,auto"."""
    parts = [part.strip() for part in value.split(",")]
    if not all(part == AUTO or part.isdecimal() for part in parts):
        raise click.BadParameter(
            f"expected numbers of samples or auto, separated by commas, got {value!r}"
        )
    return _without_repeats([AUTO if part == AUTO else int(part) for part in parts], value)


def number_of_samples(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> Samples | None:
    """Parse a number of samples, or "auto"."""
    if value is None or value == AUTO:
        return value
    if not value.isdecimal():
        raise click.BadParameter(f"expected a number of samples or auto, got {value!r}")
    return int(value)


def number_or_auto(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> float | Literal["auto"] | None:
    """Parse a real number, or "auto"."""
    if value is None or value == AUTO:
        return value
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"expected a number or auto, got {value!r}") from None


def scales(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[float, ...] | Literal["auto"] | None:
    """Parse one or several real numbers such as "0.1,0.2", or "auto"."""
    if value is None or value == AUTO:
        return value
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"expected a number, several with commas, or auto, got {value!r}"
        ) from None


def seed(command: Decorated) -> Decorated:
    """Add the option --seed."""
    return click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        help="The seed of the noise, 0 to 2^64 - 1; it gives the same bits in every engine.",
    )(command)


def antithetic(command: Decorated) -> Decorated:
    """Add the flag --antithetic."""
    return click.option(
        "--antithetic",
        is_flag=True,
        help="Use antithetic pairs: where sample 2j uses a random number u, sample 2j + 1 uses "
        "1 - u.",
    )(command)


class RenamedOption(click.Option):
    """An option that is shown by its first name only; its former names work for one release."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The lines of --help."""
        shown = copy(self)
        shown.opts = self.opts[:1]
        return super(RenamedOption, shown).get_help_record(ctx)


def adaptive(command: Decorated) -> Decorated:
    """Add the options of --samples auto: --error-rate and --max-samples."""
    command = click.option(
        "--max-samples",
        "--most-samples",
        cls=RenamedOption,
        type=int,
        default=DEFAULT_MAX_SAMPLES,
        show_default=True,
        metavar="M",
        help="For --samples auto: the number of samples of the whole ensemble.",
    )(command)
    return click.option(
        "--error-rate",
        "--error",
        cls=RenamedOption,
        type=float,
        default=DEFAULT_ERROR_RATE,
        show_default=True,
        help="For --samples auto: the accepted probability that the whole ensemble would give an "
        "image another class than the samples drawn for it so far.",
    )(command)


def threads(command: Decorated) -> Decorated:
    """Add the option --threads for one number."""
    return click.option(
        "--threads",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="The number of threads; the result does not depend on it.",
    )(command)


def as_json(command: Decorated) -> Decorated:
    """Add the flag --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")(
        command
    )


def is_given(parameter: str) -> bool:
    """Return whether an option stands on the command line."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is ParameterSource.COMMANDLINE


def note_no_effect(has_effect: bool, where: str, *parameters: str) -> None:
    """Print a note on options that stand on the command line and have no effect.

    They are not errors, because scripts pass the same options for every file.

    Args:
        has_effect: Whether the options have an effect.
        where: Where they have none, such as "without --samples M".
        parameters: The options, as the names of the command's parameters.
    """
    given = [] if has_effect else [name for name in parameters if is_given(name)]
    if given:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        write_note(f"{flags} {'have' if len(given) > 1 else 'has'} no effect {where}")


def is_checkpoint(path: Path) -> bool:
    """Return whether a CKPT_OR_MODEL is a checkpoint: a run's folder, or a safetensors file."""
    return path.is_dir() or path.suffix == ".safetensors"
