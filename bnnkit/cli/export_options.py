"""Which options of `bnnkit export` go together."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bnnkit.cli import options
from bnnkit.errors import UsageError
from bnnkit.files.kinds import SUFFIXES, check_suffix

if TYPE_CHECKING:
    from bnnkit.artifact.format.constants import Mode
    from bnnkit.export.tflite import Variant

FORMATS = ("onnx", "tflite", "c")
Scales = tuple[float, ...] | Literal["auto"]
"""One or several noise scales, or "auto"."""


def format_of(output: Path, target: str | None) -> str:
    """The format to write: the one asked for, else the one that the suffix names.

    Raises:
        UsageError: They contradict each other.
    """
    named = SUFFIXES.get(output.suffix.lower())
    chosen = target or (named if named in FORMATS else "onnx")
    if chosen != "c":  # `check_folder` says what is wrong with a folder
        check_suffix(output, chosen, "change --to or the suffix")
    return chosen


def to_choose_from(scales: Scales | None) -> Scales | None:
    """Return the noise scales from which one is to be chosen; None if there is no choice."""
    return scales if scales == options.AUTO or (scales is not None and len(scales) > 1) else None


def check_needs_of_format(
    target: str,
    mode: "Mode | None",
    name: str | None,
    variant: "Variant | None",
    uniform_input: bool,
    scales: Scales | None,
) -> None:
    """Check options that are for one format, or for a mode of it."""
    _check_needs(
        (name is None or target == "c", "--name needs --to c; give both"),
        (variant is None or target == "tflite", "--variant needs --to tflite; give both"),
        (
            not uniform_input or (target, mode) == ("tflite", "samples"),
            "--uniform-input needs --to tflite --mode samples; give all three",
        ),
        (
            scales is None or target != "tflite" or mode == "samples",
            "--noise-scale needs --mode samples; give both, or neither",
        ),
    )


def check_needs_of_data(
    data: str | None,
    data_dir: Path | None,
    tried: Scales | None,
    temperature: float | Literal["auto"] | None,
) -> None:
    """Check options that need a data set."""
    _check_needs(
        (
            tried is None or data is not None,
            "several noise scales, or auto, need --calibrate DATA; give both",
        ),
        (
            temperature != options.AUTO or data is not None,
            "--temperature auto needs --calibrate DATA; give both",
        ),
        (data_dir is None or data is not None, "--data-dir needs --calibrate DATA; give both"),
    )


def note_no_effect(chooses: bool, draws: bool) -> None:
    """Print notes on options that have no effect, by whether anything is chosen or drawn."""
    options.note_no_effect(chooses, "without --noise-scale auto", "choose_by", "choose_samples")
    options.note_no_effect(
        draws,
        "without --sample-weights, --calibrate, or a file that draws random numbers (--to tflite "
        "--mode samples without --uniform-input)",
        "seed",
    )


def _check_needs(*needs: tuple[bool, str]) -> None:
    """Raise a UsageError with the message of the first need that is not met."""
    for is_met, message in needs:
        if not is_met:
            raise UsageError(message)
