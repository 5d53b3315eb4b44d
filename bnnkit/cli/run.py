"""`bnnkit run`."""

from pathlib import Path

import click
import numpy as np

from bnnkit.cli import options
from bnnkit.cli.array_files import Array, check_output, read_array, write_arrays
from bnnkit.cli.console import progress
from bnnkit.engines import ENGINES, Engine, open_file
from bnnkit.errors import UnsupportedError, UsageError

BATCH = 256


@click.command("run")
@click.argument("model", type=options.PATH)
@click.argument("inputs", type=options.PATH, metavar="INPUT.npy")
@click.option(
    "-o",
    "--output",
    type=options.PATH,
    required=True,
    metavar="OUT.npy",
    help="Where to write what the model gives; .npz holds each output by its name.",
)
@click.option(
    "--engine",
    type=click.Choice(list(ENGINES)),
    default="bnnkit",
    show_default=True,
    help="What computes: the popcount runtime, ONNX Runtime on the file itself or on its float32 "
    "twin, or the slow NumPy reference.",
)
@options.threads
@options.samples
def command(
    model: Path,
    inputs: Path,
    output: Path,
    engine: str,
    threads: int,
    samples: int | None,
    seed: int,
) -> None:
    """Run a model on the inputs of a .npy file.

    MODEL is a model file. INPUT.npy holds an array (N, ...) in the model's own layout and dtype,
    such as uint8 (N, C, H, W) for images; N is free.

    Writes what the model gives, such as scores (N, K); with --samples, class probabilities.
    """
    opened = _opened(model, engine, threads)
    check_output(output, opened.outputs if samples is None else ("probabilities",))
    images = read_array(inputs)
    try:
        opened.check(images)
    except UsageError as error:
        raise UsageError(f"{inputs}: {error}") from error
    arrays = _compute(opened, images, samples)
    write_arrays(output, arrays)
    said = ", ".join(f"{name} {a.dtype} {a.shape}" for name, a in arrays.items())
    click.echo(f"wrote {output}: {said}")


def _opened(model: Path, engine: str, threads: int) -> Engine:
    """The engine; what bnnkit's runtime lacks, ONNX Runtime may have."""
    try:
        return open_file(engine, model, threads=threads)
    except UnsupportedError as error:
        if engine != "bnnkit":
            raise
        raise UnsupportedError(f"{error} (try --engine onnxruntime)") from error


def _compute(engine: Engine, images: Array, samples: int | None) -> dict[str, Array]:
    """The outputs, or the class probabilities, by name."""
    names = engine.outputs if samples is None else ("probabilities",)
    parts: list[tuple[Array, ...]] = []
    with progress("running", len(images)) as advance:
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            if samples is None:
                parts.append(engine.run(batch))
            else:
                parts.append((engine.predict(batch, samples=samples),))
            advance(len(batch))
    return {
        name: np.concatenate(pieces)
        for name, pieces in zip(names, zip(*parts, strict=True), strict=True)
    }
