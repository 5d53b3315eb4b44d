"""The report on a .tflite file as tables."""

from typing import TYPE_CHECKING

from bnnkit.cli.console import print_table, write
from bnnkit.cli.report_table import size

if TYPE_CHECKING:
    from bnnkit.export.tflite import Choice, TfliteReport, UniformInput

_COSTS = ("more bytes", "more operators", "more bytes of activations")


def print_tflite_report(report: "TfliteReport") -> None:
    """Print the operators, the layers that are not one plain operator and why, and the sizes."""
    print_table(
        "operators",
        ("operator", "times"),
        [(name, str(count)) for name, count in report.operators.items()],
        left=("operator",),
    )
    if report.choices:
        print_table(
            "layers that are not one plain operator",
            ("layer", "written as", "why", *_COSTS),
            [(c.layer, c.form, c.reason, *map("{:,}".format, _costs(c))) for c in report.choices],
            left=("layer", "written as", "why"),
        )
        write(
            "more: compared with one operator, of LCE or the plain one; bytes of constants, and of"
            " activations for one image"
        )
    if report.uniform_inputs:
        print_table(
            "inputs of uniform random numbers",
            ("input", "noisy sign", "shape (NHWC)"),
            [
                (entry.name, str(entry.layer), " x ".join(map(str, _nhwc(report.batch, entry))))
                for entry in report.uniform_inputs
            ],
            left=("input",),
        )
    write(f"input: {' x '.join(map(str, report.input_shape))} (NHWC)")
    write(
        f"file: {size(report.file_bytes)}; the same network as bnnkit's .onnx file:"
        f" {size(report.artifact_bytes)}"
    )


def _costs(choice: "Choice") -> tuple[int, int, int]:
    return choice.extra_bytes, choice.extra_operators, choice.extra_activation_bytes


def _nhwc(batch: int, entry: "UniformInput") -> tuple[int, int, int, int]:
    channels, height, width = entry.map
    return batch, height, width, channels
