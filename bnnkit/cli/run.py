"""`bnnkit run`."""

from pathlib import Path
from typing import Any

import click

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig, Samples
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.cli import options
from bnnkit.cli.array_files import check_file, check_not_read, check_output, write_arrays
from bnnkit.cli.classification_table import SUFFIXES, print_classes, write_classes
from bnnkit.cli.console import write
from bnnkit.cli.packing_note import write_packing_note
from bnnkit.cli.preprocessing_options import chosen_preprocessing, preprocessing_options
from bnnkit.cli.run_batches import Inputs, arrays_of, ensemble_of, outputs_of
from bnnkit.cli.run_inputs import run_inputs
from bnnkit.engines import ENGINES, open_read
from bnnkit.engines.engine import Engine
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.runtime.classification import classifications
from bnnkit.runtime.image_inputs import ArrayInputs
from bnnkit.runtime.open_file import read


@click.command("run")
@click.argument("model", type=options.MODEL)
@click.argument("inputs", type=options.PATH, nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    type=options.PATH,
    metavar="OUT",
    help="The file for the results: OUT.npy for the model's output, OUT.npz for all outputs by "
    "their names, OUT.csv or OUT.json for the most probable classes.  [default: print these].",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    metavar="K",
    help="The number of classes for each image, where classes are written or printed.",
)
@options.as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of tables.")
@click.option(
    "--engine",
    type=click.Choice(list(ENGINES)),
    default="bnnkit",
    show_default=True,
    help="The engine: the popcount runtime, ONNX Runtime on the file itself or on its float32 "
    "rewrite, Larq Compute Engine (a .tflite file as it is, an .onnx file converted), or the slow "
    "NumPy reference.",
)
@options.threads
@click.option(
    "--samples",
    callback=options.number_of_samples,
    metavar="M|auto",
    help="Write class probabilities, the mean over M samples of the noise (of real values their "
    "mean); 0 is the deterministic pass. auto takes as many samples as each image needs.",
)
@options.seed
@options.antithetic
@options.adaptive
@preprocessing_options
def command(
    model: Path,
    inputs: tuple[Path, ...],
    output: Path | None,
    top: int,
    as_json: bool,
    as_csv: bool,
    engine: str,
    threads: int,
    samples: Samples | None,
    seed: int,
    antithetic: bool,
    error_rate: float,
    max_samples: int,
    **preprocessing: Any,
) -> None:
    """Run a model on images or on arrays.

    MODEL is a model file, .onnx or .tflite, or zoo:NAME. INPUT is one or more images, PNG or JPEG,
    or folders of them, which are resized and normalised as the file says; or INPUT.npy, an array
    (N, ...) in the model's own layout and dtype, such as uint8 images (N, C, H, W), or
    (N, H, W, C) for a .tflite file; or INPUTS.npz with an array for each input of a model with
    several, by its name; or - for images or .npy from standard input.

    Prints the most probable classes of each image, of an array with --json or --csv, or writes
    them to OUT.csv or OUT.json. To OUT.npy it writes the model's outputs, such as scores (N, K);
    with --samples, class probabilities. A .npz file then also holds, for each image, the entropy,
    the part of it that is due to the sampling (mutual_information), both in nats, and the number
    of samples used. Of an output of real values it holds their mean and spread; `bnnkit info` says
    what the outputs hold.
    """
    config = EnsembleConfig(
        samples=samples or 0,
        seed=seed,
        antithetic=antithetic,
        error_rate=error_rate,
        max_samples=max_samples,
    )
    options.note_no_effect(samples is not None, "without --samples M", "seed", "antithetic")
    options.note_no_effect(
        samples == options.AUTO, "without --samples auto", "error_rate", "max_samples"
    )
    style = "json" if as_json else "csv" if as_csv else "table"
    _check_style(as_json, as_csv, output)
    if output is not None:
        check_not_read(output, model, *inputs)
    artifact = read(model)
    opened = _open(engine, model, artifact, threads)
    if output is not None:
        _check_output(output, opened.outputs)
    write_packing_note(artifact, model)
    images = run_inputs(inputs, artifact, chosen_preprocessing(artifact.metadata, preprocessing))
    if isinstance(images, ArrayInputs):
        options.note_no_effect(False, "on arrays", *preprocessing)
        images = ArrayInputs(_checked(opened, images.array, artifact, inputs[0]))
        if output is None and style == "table":
            suffix = "npy" if len(opened.outputs) == 1 else "npz"
            raise UsageError(
                f"Missing option '-o': for arrays, expected -o OUT.{suffix} for the outputs, or "
                "--json or --csv to print the classes"
            )
    if output is not None and output.suffix not in SUFFIXES:
        options.note_no_effect(False, f"on {output}", "top")
        _write_arrays(output, opened, images, samples, config)
        return
    ensemble = ensemble_of(opened, images, config)
    found = classifications(ensemble, images.names, artifact.metadata, top)
    if output is None:
        print_classes(found, style)
    else:
        write_classes(output, found)
        write(f"wrote {output}: the classes of {len(found)} images")


def _check_style(as_json: bool, as_csv: bool, output: Path | None) -> None:
    given = " and ".join(["--json"] * as_json + ["--csv"] * as_csv)
    if as_json and as_csv:
        raise UsageError("expected --json or --csv, got both")
    if given and output is not None:
        raise UsageError(
            f"{given} prints the classes, -o {output} writes a file: leave out one of them"
        )


def _open(engine: str, model: Path, artifact: Artifact, threads: int) -> Engine:
    try:
        return open_read(engine, model, artifact, threads=threads)
    except UnsupportedError as error_of_plan:
        if engine != "bnnkit":
            raise
        # ONNX Runtime may support operators that bnnkit's runtime lacks.
        raise UnsupportedError(f"{error_of_plan} (try --engine onnxruntime)") from error_of_plan


def _check_output(output: Path, names: tuple[str, ...]) -> None:
    if output.suffix in SUFFIXES:
        check_file(output)
    else:
        check_output(output, names)


def _checked(engine: Engine, array: Batch, artifact: Artifact, path: Path) -> Batch:
    try:
        return engine.accepted(array)
    except UsageError as error:
        is_named = artifact.tflite_source is None or "channels last" in str(error)
        hint = "" if is_named else "; a .tflite file takes channels last, (N, H, W, C)"
        raise UsageError(f"{path}: {error}{hint}") from error


def _write_arrays(
    output: Path, engine: Engine, images: Inputs, samples: Samples | None, config: EnsembleConfig
) -> None:
    """Write the outputs, with --samples their means."""
    if samples is None:
        arrays = outputs_of(engine, images)
    else:
        arrays = arrays_of(engine, ensemble_of(engine, images, config))
        if samples == options.AUTO:
            write(f"samples per image: {arrays['samples'].mean():.2f} on average")
        if output.suffix == ".npy":
            arrays = dict([next(iter(arrays.items()))])  # the mean of the only output
    write_arrays(output, arrays)
    shapes = ", ".join(f"{name} {a.dtype} {a.shape}" for name, a in arrays.items())
    write(f"wrote {output}: {shapes}")
