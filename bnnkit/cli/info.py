"""`bnnkit info`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.calibration_record import KEY, read_calibration
from bnnkit.artifact.checks.computed import lacking
from bnnkit.artifact.output_kinds import AVERAGED
from bnnkit.artifact.output_kinds import KEY as OUTPUTS
from bnnkit.artifact.report import report
from bnnkit.cli import options
from bnnkit.cli.console import print_json, waiting, write
from bnnkit.cli.packing_note import write_packing_note
from bnnkit.cli.report_table import print_report
from bnnkit.runtime.open_file import read

_MOST_CLASSES = 20
"""The most names of classes in the table; JSON has all."""
_DEEPEST = 8
"""The deepest nesting of a value that is shown as JSON, not as text."""
_JSON_VALUES = ("signs", "classes", "input", "inputs", "noise_choice", OUTPUTS)


@click.command("info")
@click.argument("path", type=options.MODEL, metavar="MODEL_OR_CKPT")
@options.trust_code
@options.as_json
def command(path: Path, as_json: bool) -> None:
    """Show the layers of a model or checkpoint, and which stayed float.

    MODEL_OR_CKPT is a model file, the folder of a run, or a checkpoint.safetensors. For a
    checkpoint, the report is on the model file that `bnnkit export` would write.
    """
    trained: dict[str, str] = {}
    if options.is_checkpoint(path):
        with waiting("exporting"):
            from bnnkit.deployment.export_checkpoint import checkpoint_artifact
            from bnnkit.training import load_checkpoint

            artifact = checkpoint_artifact(path)
            trained = load_checkpoint(path).choices
        file_size = artifact.model.ByteSize()
    else:
        artifact = read(path)
        write_packing_note(artifact, path)
        file_size = path.stat().st_size
    about, found = _metadata(artifact), report(artifact, file_size)
    lacks = lacking(artifact.graph)
    if as_json:
        of_training = {"training": trained} if trained else {}
        held = dict(zip(artifact.graph.outputs, artifact.output_kinds, strict=True))
        about_file = {"file": str(path), "metadata": about, "outputs": held, "lacking": lacks}
        print_json({**about_file, **of_training, **asdict(found)})
        return
    inputs = artifact.graph.inputs
    elsewhere = {"signs", "inputs", OUTPUTS} | ({"input"} if len(inputs) > 1 else set())
    lines = [
        f"{key + ':':<12} {_in_words(key, value)}"
        for key, value in about.items()
        if key not in elsewhere and value not in ("", [], {})
    ]
    for line in lines:
        write(line)
    for one in inputs if len(inputs) > 1 else ():
        write(f"{'input:':<12} {one.name} {one.dtype} {', '.join(map(str, one.shape))}")
    for name, kind in zip(artifact.graph.outputs, artifact.output_kinds, strict=True):
        write(f"{'output:':<12} {name} holds {AVERAGED[kind]}")
    for key, value in trained.items():
        write(f"{key.replace('_', ' ') + ':':<12} {value}")
    print_report(found)
    if lacks:
        names = ", ".join(f"{name} ({count})" for name, count in lacks.items())
        write(f"operators that bnnkit's runtime lacks, with the number of nodes: {names}")


def _metadata(artifact: Artifact) -> dict[str, Any]:
    """Return the metadata of the file, with JSON parsed and without batch norm statistics."""
    about: dict[str, Any] = {
        key: _parsed(key, value) if key in _JSON_VALUES else value
        for key, value in artifact.metadata.items()
    }
    calibration = read_calibration(artifact)
    return about if calibration is None else {**about, KEY: asdict(calibration.source)}


def _parsed(key: str, text: str) -> Any:
    """Return the value of JSON text; of others' files, the text if it is not what is expected."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if key == "classes" and not _is_list_of_texts(value):
        return text
    return value if _is_flat(value, _DEEPEST) else text


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_flat(value: Any, deepest: int) -> bool:
    """Return whether a value is nested at most `deepest` times."""
    if not isinstance(value, list | dict):
        return True
    items = value.values() if isinstance(value, dict) else value
    return deepest > 0 and all(_is_flat(item, deepest - 1) for item in items)


def _in_words(key: str, value: Any) -> str:
    if key == "accuracy":
        return _as_percentage(value)
    if key == "classes" and isinstance(value, list) and len(value) > _MOST_CLASSES:
        return f"{', '.join(map(str, value[:_MOST_CLASSES]))}, ... ({len(value)} classes)"
    if isinstance(value, dict):
        items = (f"{name.replace('_', ' ')} {_plain(item)}" for name, item in value.items())
        return "; ".join(items)
    return _plain(value)


def _plain(value: Any) -> str:
    """Return a number with at most six digits, a list without brackets."""
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _as_percentage(text: str) -> str:
    """Return a fraction in the metadata of a file as a percentage; other text as it is."""
    try:
        return f"{float(text):.2%} on the test part of its data set, without noise"
    except ValueError:
        return text
