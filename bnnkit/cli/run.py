"""`bnnkit run`."""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from bnnkit.artifact.ensemble_config import EnsembleConfig, Samples
from bnnkit.artifact.output_kinds import OF_CLASSES, OF_LABELS
from bnnkit.cli import options
from bnnkit.cli.array_files import Array, check_not_read, check_output, read_array, write_arrays
from bnnkit.cli.console import progress, write
from bnnkit.cli.packing_note import write_packing_note
from bnnkit.engines import ENGINES, open_read
from bnnkit.engines.engine import Engine
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.runtime.ensemble import Ensemble
from bnnkit.runtime.open_file import read
from bnnkit.runtime.output_mean import OutputMean

BATCH = 256


@click.command("run")
@click.argument("model", type=options.MODEL)
@click.argument("inputs", type=options.PATH, metavar="INPUT.npy")
@click.option(
    "-o",
    "--output",
    type=options.PATH,
    required=True,
    metavar="OUT.npy",
    help="The file for the model's outputs; a .npz file holds each output by its name.",
)
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
def command(
    model: Path,
    inputs: Path,
    output: Path,
    engine: str,
    threads: int,
    samples: Samples | None,
    seed: int,
    antithetic: bool,
    error_rate: float,
    max_samples: int,
) -> None:
    """Run a model on the inputs of a .npy file.

    MODEL is a model file, .onnx or .tflite. INPUT.npy holds an array (N, ...) in the model's own
    layout and dtype, such as uint8 images (N, C, H, W), or (N, H, W, C) for a .tflite file; N is
    free.

    Writes the model's outputs, such as scores (N, K); with --samples, class probabilities. A .npz
    file then also holds, for each image, the entropy, the part of it that is due to the sampling
    (mutual_information), both in nats, and the number of samples used. Of an output of real values
    it holds their mean and spread; `bnnkit info` says what the outputs hold.
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
    check_not_read(output, model, inputs)
    artifact = read(model)
    try:
        opened = open_read(engine, model, artifact, threads=threads)
    except UnsupportedError as error_of_plan:
        if engine != "bnnkit":
            raise
        # ONNX Runtime may support operators that bnnkit's runtime lacks.
        raise UnsupportedError(f"{error_of_plan} (try --engine onnxruntime)") from error_of_plan
    check_output(output, opened.outputs)
    write_packing_note(artifact, model)
    images = read_array(inputs)
    try:
        opened.check(images)
    except UsageError as error_of_images:
        is_named = artifact.tflite_source is None or "channels last" in str(error_of_images)
        hint = "" if is_named else "; a .tflite file takes channels last, (N, H, W, C)"
        raise UsageError(f"{inputs}: {error_of_images}{hint}") from error_of_images
    if samples is None:
        arrays = _outputs(opened, images)
    else:
        arrays = _ensemble(opened, images, config)
        if samples == options.AUTO:
            write(f"samples per image: {arrays['samples'].mean():.2f} on average")
        if output.suffix == ".npy":
            arrays = dict([next(iter(arrays.items()))])  # the mean of the only output
    write_arrays(output, arrays)
    shapes = ", ".join(f"{name} {a.dtype} {a.shape}" for name, a in arrays.items())
    write(f"wrote {output}: {shapes}")


def _outputs(engine: Engine, images: Array) -> dict[str, Array]:
    """Compute the outputs of the file, by name."""
    parts = []
    with progress("running", len(images)) as advance:
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            parts.append(engine.run(batch))
            _check_rows(engine.outputs, parts[-1], len(batch))
            advance(len(batch))
    pieces = zip(*parts, strict=True)
    return {name: np.concatenate(p) for name, p in zip(engine.outputs, pieces, strict=True)}


def _check_rows(names: Sequence[str], outputs: Sequence[Array], images: int) -> None:
    """Check that every output has a row for each image, so that batches can be concatenated.

    Raises:
        UnsupportedError: If an output has another number of rows.
    """
    for name, output in zip(names, outputs, strict=True):
        if output.shape[:1] != (images,):
            raise UnsupportedError(
                f"expected an output with a row for each of {images} images, {name!r} has the"
                f" shape {output.shape}: it mixes the images, or does not depend on them"
            )


def _ensemble(engine: Engine, images: Array, config: EnsembleConfig) -> dict[str, Array]:
    """Compute the means of the ensemble and their uncertainty, by name."""
    parts = []
    with progress("running", len(images)) as advance:
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            parts.append(engine.ensemble(batch, config, image_offset=start))
            advance(len(batch))
    found = Ensemble.joined(parts)
    arrays = [_named(output) for output in found.outputs]
    if len(arrays) > 1:
        named = zip(engine.outputs, arrays, strict=True)
        arrays = [{f"{name}.{key}": a for key, a in part.items()} for name, part in named]
    return {name: a for part in arrays for name, a in part.items()} | {"samples": found.samples}


def _named(output: OutputMean) -> dict[str, Array]:
    """The arrays of one output; the mean is called probabilities if it holds such."""
    holds_probabilities = output.kind in (*OF_CLASSES, *OF_LABELS)
    names = {"mean": "probabilities"} if holds_probabilities else {}
    return {names.get(name, name): array for name, array in output.arrays.items()}
