"""`bnnkit convert`."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bnnkit.cli import options
from bnnkit.cli.array_files import check_not_read
from bnnkit.cli.console import print_json, print_table, waiting, write
from bnnkit.cli.report_table import print_report, size
from bnnkit.errors import ArtifactError, BnnkitError

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
    """Turn a binarized ONNX network of others into a bit-packed model file.

    FILE is a QONNX file, as Brevitas exports it, cleaned or not, or a plain ONNX graph in which
    signs are whatever is one of two opposite numbers, however it is written, and weights are +-1
    up to a scale for each output channel.

    What is not binary stays as it is, in float32, and the report lists it. Sign of 0 is what it is
    in FILE, but for ONNX's own Sign, whose 0 has no place in one bit: it becomes +1, and the
    report says where the input of such a sign can be 0. It also lists the rounding of FILE that is
    gone: of straight-through estimators, and of products that are scaled before they are added.
    """
    check_not_read(output, source)
    with waiting("converting"):
        from bnnkit.export.from_onnx import convert_onnx

        conversion = convert_onnx(source, output)
        obstacle = _what_the_runtime_lacks(output)
    if as_json:
        print_json({"file": str(output), **_json(conversion), "runtime": obstacle})
        return
    _print(conversion)
    if obstacle is not None:
        write(f"bnnkit's runtime cannot run this file, ONNX Runtime can: {obstacle}")
    write(f"wrote {output}")


def _what_the_runtime_lacks(output: Path) -> str | None:
    """Why bnnkit's own runtime cannot run a file; None where it can."""
    from bnnkit import runtime

    try:
        runtime.load(output)
    except ArtifactError as error:  # the file is not damaged: it was written just now
        return f"it has a value of a kind that the runtime lacks ({str(error).split(': ')[-1]})"
    except BnnkitError as error:
        return str(error).removeprefix(f"{output}: ")
    return None


def _json(conversion: "Conversion") -> dict[str, object]:
    """The keys of `bnnkit export --json`, and those of a conversion."""
    content = asdict(conversion)
    report: dict[str, object] = content.pop("artifact")
    return {**report, **content}


def _print(conversion: "Conversion") -> None:
    print_report(conversion.artifact)
    for title, columns, rows in _departures(conversion):
        if rows:
            print_table(title, columns, rows, left=columns)
    operators = ", ".join(f"{n} {name}" for name, n in conversion.standard_operators.items())
    write(f"operators of ONNX that stay: {operators or 'none'}")
    before, after = conversion.source_bytes, conversion.artifact.file_bytes
    write(f"from {size(before)} to {size(after)}")


def _departures(
    conversion: "Conversion",
) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """The tables of what is not FILE's number to the last bit: title, columns, rows."""
    yield (
        "signs that are +1 for 0, where FILE has 0",
        ("signs", "0 can be"),
        [(sign.name, sign.input) for sign in conversion.remapped],
    )
    yield (
        "signs that are +1 where FILE's own rounding decides, as its products cancel",
        ("signs", "layer", "channels with such a sum"),
        [(tie.name, tie.layer, str(tie.channels)) for tie in conversion.ties],
    )
    yield (
        "signs under a straight-through estimator, whose rounding is gone",
        ("signs", "largest relative rounding, for inputs up to 8"),
        [(sign.name, f"{sign.deviation:.1e}") for sign in conversion.rounded_signs],
    )
    yield (
        "weights that are +-1 up to a scale but for rounding",
        ("layer", "largest relative rounding"),
        [(layer.name, f"{layer.deviation:.1e}") for layer in conversion.rounded_weights],
    )
    yield (
        "layers of which some weights are 0: two binary layers, with +1 and with -1 for 0",
        ("layer", "weights that are 0", "of"),
        [
            (layer.name, f"{layer.n_zeros:,}", f"{layer.n_weights:,}")
            for layer in conversion.weights_with_zeros
        ],
    )
