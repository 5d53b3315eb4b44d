"""`bnnkit export`."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from bnnkit.artifact.format.sample import MOST_SAMPLES
from bnnkit.cli import options
from bnnkit.cli.array_files import check_file, check_not_read
from bnnkit.cli.c_folder import CFolder, check_folder, print_c_report
from bnnkit.cli.console import print_json, waiting, write
from bnnkit.cli.export_fits import Fitted, fit, print_fitted
from bnnkit.cli.export_options import (
    FORMATS,
    Scales,
    check_needs_of_data,
    check_needs_of_format,
    format_of,
    note_no_effect,
    to_choose_from,
)
from bnnkit.cli.model_source import is_model_file
from bnnkit.cli.report_table import print_report
from bnnkit.cli.tflite_file import TfliteFile
from bnnkit.cli.tflite_table import print_tflite_report
from bnnkit.data import open_data
from bnnkit.deployment.samples import SAMPLES
from bnnkit.errors import UsageError
from bnnkit.files.kinds import ONNX, but_it_is, kind_of_path

if TYPE_CHECKING:
    from bnnkit.artifact.format.constants import Mode
    from bnnkit.deployment.choose_noise_scale import By
    from bnnkit.export.tflite import Variant


@click.command("export")
@click.argument("source", type=options.MODEL, metavar="CKPT_OR_MODEL")
@click.option(
    "--to",
    "target",
    type=click.Choice(FORMATS),
    help="The format: ONNX, TFLite for Larq Compute Engine, or a folder of C that needs no Python "
    "on the device.  [default: as the suffix of FILE says, else onnx].",
)
@click.option(
    "--variant",
    type=click.Choice(["lce", "builtin"]),
    help="For --to tflite: lce, the default, is for Larq Compute Engine; builtin uses TFLite's "
    "builtin operators only, with one byte per binary weight.",
)
@click.option(
    "--uniform-input",
    is_flag=True,
    help="For --to tflite --mode samples: the file takes its uniform random numbers as inputs "
    "instead of drawing its own.",
)
@click.option(
    "--name",
    metavar="NAME",
    help="For --to c: the prefix of functions and files, by which several networks fit into one "
    "program.  [default: bnn].",
)
@click.option(
    "-o",
    "--output",
    type=options.PATH,
    required=True,
    metavar="FILE",
    help="The model file to write, such as MODEL.onnx; with --to c a folder.",
)
@click.option(
    "--mode",
    type=click.Choice(["samples", "deterministic"]),
    help="samples stores the noise of the signs in the file, which then runs deterministic or "
    "sampled; deterministic leaves it out.  [default: samples if the network has noise].",
)
@click.option(
    "--noise-scale",
    "scales",
    callback=options.scales,
    metavar="S",
    help="Multiply the noise of the signs by S. For networks trained without noise, 0.1 to 0.3 "
    "makes samples useful. Use it with --calibrate. auto, or several numbers such as 0.1,0.2,0.3, "
    "chooses the best one on the training examples of --calibrate DATA that the run held out "
    "(validation).",
)
@click.option(
    "--choose-by",
    type=click.Choice(["accuracy", "nll"]),
    default="accuracy",
    show_default=True,
    help="For --noise-scale auto: the score of the ensemble that chooses.",
)
@click.option(
    "--choose-samples",
    type=click.IntRange(min=1, max=MOST_SAMPLES),
    default=SAMPLES,
    show_default=True,
    metavar="M",
    help="For --noise-scale auto: the number of samples of the ensemble.",
)
@click.option(
    "--temperature",
    callback=options.number_or_auto,
    metavar="T",
    help="Divide the logits by T, which changes no class of one pass, but how sure it is. auto "
    "fits T on the training examples of --calibrate DATA that the run held out (validation).",
)
@click.option(
    "--calibrate",
    "data",
    metavar="DATA",
    help="Re-estimate the statistics of batch norms in the mode of deployment, on the training "
    f"part of a data set: {options.DATA_NAMES}, the path of an .npz file, or your own "
    "module:function.",
)
@options.data_dir
@options.trust_code
@click.option(
    "--sample-weights",
    "weight_draws",
    type=int,
    default=0,
    show_default=True,
    metavar="M",
    help="The number of draws of the noisy weights to store; sample i uses draw i mod M. 0 uses "
    "the maximum-probability value of each weight in all samples. Use --calibrate with draws, "
    "because the trained batch norms do not fit them.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="The seed of weight draws and calibration, 0 to 2^64 - 1. With --to tflite --mode "
    "samples, also the seed of the file's random numbers, which restart each time the file is "
    "opened; with 0 they differ each time.",
)
@options.as_json
def command(
    source: Path,
    target: str | None,
    variant: "Variant | None",
    uniform_input: bool,
    name: str | None,
    output: Path,
    mode: "Mode | None",
    scales: Scales | None,
    choose_by: "By",
    choose_samples: int,
    temperature: float | Literal["auto"] | None,
    data: str | None,
    data_dir: Path | None,
    weight_draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """Write a trained network as a bit-packed model file.

    CKPT_OR_MODEL is the folder of a run, or its checkpoint.safetensors. With --to tflite and
    --to c it can also be an .onnx model file that `bnnkit export` or `bnnkit convert` wrote.

    Stock ONNX Runtime opens the file, and bnnkit runs it with popcount kernels. Both compute every
    sign as torch does, except for a few signs of real numbers (after skip connections) that torch
    rounds to the other side of zero; `bnnkit verify` counts these. The report shows for every
    layer whether it is binary, why not, and its size.

    A network with noise becomes a stochastic file, which runs as one pass without noise or as an
    ensemble of samples. In stock ONNX Runtime, set SessionOptions.log_severity_level = 3 for it,
    which silences four harmless warnings about inputs with defaults. --calibrate fits the batch
    norms to this mode, and reports the change of the statistics and the accuracy.

    With --to tflite the file is for Larq Compute Engine, or with --variant builtin for any TFLite
    interpreter; both compute the same bits. Its input is one NHWC image per run. It has no noise
    unless --mode samples is given; then each run is a sample. The report shows the layers that are
    not one operator, why, and what they cost.

    With --to c the output is a folder of C99 source that needs no library and allocates nothing:
    one pass, and ensembles of samples if the network has noise, with the bits of bnnkit's runtime.
    """
    check_not_read(output, source)
    target = format_of(output, target)
    (check_folder if target == "c" else check_file)(output)
    tried = to_choose_from(scales)
    check_needs_of_format(target, mode, name, variant, uniform_input, scales)
    check_needs_of_data(data, data_dir, tried, temperature)
    draws_own = (target, mode, uniform_input) == ("tflite", "samples", False)
    note_no_effect(tried is not None, weight_draws > 0 or data is not None or draws_own)
    if target == "tflite":
        mode = mode or "deterministic"
    other = _other_format(target, mode, name, variant, uniform_input, seed)
    fitted = Fitted()
    if is_model_file(source):
        other = _of_model_file(source, other, {"noise-scale": scales, "temperature": temperature})
        with waiting("exporting"):
            model = other.artifact(source, calibrates=data is not None, draws=weight_draws)
            report: Any = other.write(model, output)
    else:
        with waiting("exporting"):
            from bnnkit.deployment.export_checkpoint import CheckpointExport

            export = CheckpointExport(
                source,
                mode=mode,
                weight_draws=weight_draws,
                seed=seed,
                noise_scale=scales[0] if isinstance(scales, tuple) and tried is None else None,
                temperature=temperature if isinstance(temperature, float) else None,
            )
        if data is not None:
            fitted = fit(
                export,
                open_data(data, data_dir),
                tried,
                by=choose_by,
                samples=choose_samples,
                fits_temperature=temperature == options.AUTO,
            )
        with waiting("exporting"):
            if other is None:
                report = export.write(output)
            else:
                report = other.write(export.artifact(), output)
    if isinstance(temperature, float):
        fitted = replace(fitted, temperature=temperature)
    if as_json:
        print_json({"file": str(output), **asdict(report), **fitted.as_json()})
        return
    print_fitted(fitted)
    _REPORTS[target](report)
    write(f"wrote {output}")


def _other_format(
    target: str,
    mode: "Mode | None",
    name: str | None,
    variant: "Variant | None",
    uniform_input: bool,
    seed: int,
) -> TfliteFile | CFolder | None:
    """Return what to write, with its options; None for an ONNX file."""
    if target == "c":
        return CFolder(mode=mode, name="bnn" if name is None else name)
    if target == "tflite" and mode is not None:
        return TfliteFile(
            mode=mode, variant=variant or "lce", uniform_input=uniform_input, seed=seed
        )
    return None


def _of_model_file(
    source: Path, other: TfliteFile | CFolder | None, of_checkpoints: dict[str, Any]
) -> TfliteFile | CFolder:
    """Return what to write from a model file.

    Raises:
        UsageError: An option is given that is for checkpoints, or the format is ONNX again.
    """
    for option, value in of_checkpoints.items():
        if value is not None:
            raise UsageError(f"--{option} is for a checkpoint, got the model file {source}")
    if other is None:
        kind = kind_of_path(source)
        if kind not in ("", ONNX) and not kind.startswith("a .tflite"):
            raise UsageError(f"expected a checkpoint, got {source}{but_it_is(kind)}")
        raise UsageError(
            f"expected a checkpoint, got the model file {source}; --to tflite and --to c take"
            " either"
        )
    return other


_REPORTS: dict[str, Callable[[Any], None]] = {
    "onnx": print_report,
    "tflite": print_tflite_report,
    "c": print_c_report,
}
