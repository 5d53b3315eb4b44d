"""`bnnkit convert`."""

from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bnnkit.cli import options
from bnnkit.cli.array_files import check_file, check_not_read
from bnnkit.cli.console import print_json, print_table, waiting, write
from bnnkit.cli.report_table import print_report, size
from bnnkit.errors import ArtifactError, BnnkitError, UsageError
from bnnkit.files.kinds import check_suffix

if TYPE_CHECKING:
    from bnnkit.export.from_onnx import Conversion


@click.command("convert")
@click.argument("source", type=options.PATH, metavar="FILE")
@click.option(
    "-o",
    "--output",
    type=options.PATH,
    required=True,
    metavar="MODEL",
    help="The model file to write, such as MODEL.onnx.",
)
@options.as_json
def command(source: Path, output: Path, as_json: bool) -> None:
    """Convert a binarized ONNX network of another tool to a bit-packed model file.

    FILE is a QONNX file, as Brevitas exports it, cleaned or not, or a plain ONNX graph. In a plain
    graph, signs are values that are always one of two opposite numbers, whatever operators compute
    them, and binary weights are +-1 up to a scale for each output channel.

    Everything else stays in float32, and the report lists it. The sign of 0 stays what it is in
    FILE, except for ONNX's own Sign: its 0 does not fit in one bit and becomes +1. The report
    lists signs whose input can be 0. Elements that are 0 in every image, such as padding and
    pruned channels, stay 0. It also lists roundings of FILE that the result does not
    have: those of straight-through estimators, and of products that are scaled before they are
    added.

    This needs PyTorch: on a board, convert on another computer and copy MODEL, which runs without
    PyTorch.
    """
    _check_packages()
    check_not_read(output, source)
    check_suffix(output, "onnx")
    check_file(output)
    with waiting("converting"):
        from bnnkit.export.from_onnx import convert_onnx

        conversion = convert_onnx(source, output)
        obstacle = _runtime_obstacle(output)
    if as_json:
        print_json({"file": str(output), **_json(conversion), "runtime": obstacle})
        return
    _print(conversion)
    if obstacle is not None:
        write(f"bnnkit's runtime cannot run this file, ONNX Runtime can: {obstacle}")
    write(f"wrote {output}")


def _check_packages() -> None:
    """Check that what a conversion needs is installed, before anything is read.

    Raises:
        UsageError: A package is missing.
    """
    missing = [name for name in ("torch", "onnx_ir") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"convert needs {', '.join(missing)}: pip install 'bnnkit[export]', or convert on"
            " another computer and copy the model file, which runs without PyTorch"
        )


def _runtime_obstacle(output: Path) -> str | None:
    """Return why bnnkit's runtime cannot run a file; None if it can."""
    from bnnkit import runtime

    try:
        runtime.load(output)
    except ArtifactError as error:  # not damage: the file was just written
        return f"it has a value of a kind that the runtime lacks ({str(error).split(': ')[-1]})"
    except BnnkitError as error:
        return str(error).removeprefix(f"{output}: ")
    return None


def _json(conversion: "Conversion") -> dict[str, object]:
    """Return the keys of `bnnkit export --json`, and those of a conversion."""
    content = asdict(conversion)
    report: dict[str, object] = content.pop("artifact")
    return {**report, **content}


def _print(conversion: "Conversion") -> None:
    print_report(conversion.artifact)
    for title, columns, rows in _deviations(conversion):
        if rows:
            print_table(title, columns, rows, left=columns)
    operators = ", ".join(f"{n} {name}" for name, n in conversion.standard_operators.items())
    write(f"standard operators that remain: {operators or 'none'}")
    before, after = conversion.source_bytes, conversion.artifact.file_bytes
    write(f"size: {size(before)} before, {size(after)} after")


def _deviations(
    conversion: "Conversion",
) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Yield the tables of values that can differ from FILE's: title, columns, rows."""
    yield (
        "signs that are +1 for an input of 0, where FILE has 0",
        ("signs", "input that can be 0"),
        [(sign.name, sign.input) for sign in conversion.remapped],
    )
    yield (
        "signs that are 0 in every image, as in FILE",
        ("signs", "elements that are 0", "all elements"),
        [(s.name, f"{s.n_zeros:,}", f"{s.n_signs:,}") for s in conversion.constant_zeros],
    )
    yield (
        "signs that are +1 where FILE's products cancel and its rounding decides the sign",
        ("signs", "layer", "channels with such a sum"),
        [(tie.name, tie.layer, str(tie.channels)) for tie in conversion.ties],
    )
    yield (
        "signs of a straight-through estimator, computed without FILE's rounding",
        ("signs", "largest relative rounding, for inputs up to 8"),
        [(sign.name, f"{sign.deviation:.1e}") for sign in conversion.rounded_signs],
    )
    yield (
        "weights that are +-1 up to a scale and a rounding",
        ("layer", "largest relative rounding"),
        [(layer.name, f"{layer.deviation:.1e}") for layer in conversion.rounded_weights],
    )
    yield (
        "layers with weights of 0, stored as two binary layers, with +1 and with -1 for 0",
        ("layer", "weights that are 0", "all weights"),
        [
            (layer.name, f"{layer.n_zeros:,}", f"{layer.n_weights:,}")
            for layer in conversion.weights_with_zeros
        ],
    )
