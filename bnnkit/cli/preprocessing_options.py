"""The options of a command that say how images become inputs, over what the file says."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeVar

import click

from bnnkit.images.preprocessing import (
    INTERPOLATIONS,
    Preprocessing,
    preprocessing_from,
    stored_preprocessing,
)

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _numbers(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[float, ...] | float | None:
    """Parse a number, or several such as "0.485,0.456,0.406"; None if the option is not given."""
    if value is None:
        return None
    try:
        found = tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected a number, or 3 with commas, got {value!r}") from None
    return found[0] if len(found) == 1 else found


def _sizes(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | int | None:
    """Parse a size in pixels, or height and width such as "256,320"."""
    if value is None:
        return None
    parts = value.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"expected a size, or H,W, in pixels, got {value!r}")
    return int(value) if len(parts) == 1 else tuple(int(part) for part in parts)


_OPTIONS: Final = (
    click.option(
        "--resize",
        callback=_sizes,
        metavar="SIZE|H,W",
        help="For images: the length of the shorter side in pixels, or height and width, before "
        "the centre is cut out.  [default: what the file says, else just large enough].",
    ),
    click.option(
        "--interpolation",
        type=click.Choice(list(INTERPOLATIONS)),
        help="For images: how they are resized.  [default: what the file says, else bilinear].",
    ),
    click.option(
        "--mean",
        callback=_numbers,
        metavar="M|R,G,B",
        help="For images of a network with real inputs, which are (pixel / 255 - mean) / std.  "
        "[default: what the file says, else 0].",
    ),
    click.option(
        "--std",
        callback=_numbers,
        metavar="S|R,G,B",
        help="For images of a network with real inputs.  [default: what the file says, else 1].",
    ),
    click.option(
        "--invert/--no-invert",
        default=None,
        help="For images: use 255 minus the pixels, as for dark writing on white paper in a "
        "network that was trained on MNIST.  [default: what the file says, else no].",
    ),
)


def preprocessing_options(command: Decorated) -> Decorated:
    """Add --resize, --interpolation, --mean, --std and --invert."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_preprocessing(
    metadata: Mapping[str, str], given: Mapping[str, Any]
) -> Preprocessing | None:
    """Return what the options say, and for the others what the file says.

    Args:
        metadata: Of the file, by key without the prefix.
        given: The values of `preprocessing_options`.

    Returns:
        None if no option is given.

    Raises:
        UsageError: If a value cannot be used, or the file's entry is damaged.
    """
    said = {name: value for name, value in given.items() if value is not None}
    if not said:
        return None
    stored = stored_preprocessing(metadata) or Preprocessing()
    return preprocessing_from({**asdict(stored), **said})
