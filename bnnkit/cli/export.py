"""`bnnkit export`."""

from dataclasses import asdict
from pathlib import Path

import click

from bnnkit.cli import options
from bnnkit.cli.console import print_json, waiting, write
from bnnkit.cli.report_table import print_report
from bnnkit.cli.tflite_table import print_tflite_report
from bnnkit.errors import UsageError


@click.command("export")
@click.argument("checkpoint", type=options.PATH, metavar="CKPT")
@click.option(
    "--to",
    "target",
    type=click.Choice(["onnx", "tflite", "c"]),
    default="onnx",
    show_default=True,
    help="The format: ONNX, or TFLite for Larq Compute Engine; c is not available yet.",
)
@click.option(
    "-o",
    "--output",
    type=options.PATH,
    required=True,
    metavar="FILE",
    help="The model file to write, such as MODEL.onnx.",
)
@options.as_json
def command(checkpoint: Path, target: str, output: Path, as_json: bool) -> None:
    """Write a trained network as a bit-packed model file.

    CKPT is the folder of a run, or its checkpoint.safetensors.

    Stock ONNX Runtime opens the file, and bnnkit runs it with popcount kernels; both give every
    sign that the network gives in torch, save for a few signs of real numbers (behind skip
    connections) that torch rounds to the other side of zero, which `bnnkit verify` counts. The
    report says of every layer whether it is binary, why not, and what it weighs.

    With --to tflite the file is for Larq Compute Engine, which gives the same bits; images are
    NHWC there, one in a run. The report says what is not one of its operators, and why.
    """
    if target == "c":
        raise UsageError("export to c is not available yet; expected --to onnx or --to tflite")
    if target == "tflite":
        _to_tflite(checkpoint, output, as_json)
        return
    with waiting("exporting"):
        from bnnkit.checkpoint_export import export_checkpoint

        report = export_checkpoint(checkpoint, output)
    if as_json:
        print_json({"file": str(output), **asdict(report)})
    else:
        print_report(report)
        write(f"wrote {output}")


def _to_tflite(checkpoint: Path, output: Path, as_json: bool) -> None:
    with waiting("exporting"):
        from bnnkit.checkpoint_export import checkpoint_artifact
        from bnnkit.export.tflite import export_tflite

        report = export_tflite(checkpoint_artifact(checkpoint), output)
    if as_json:
        print_json({"file": str(output), **asdict(report)})
    else:
        print_tflite_report(report)
        write(f"wrote {output}")
