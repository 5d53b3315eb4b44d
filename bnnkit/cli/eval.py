"""`bnnkit eval`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from bnnkit import data, metrics
from bnnkit.cli import options
from bnnkit.cli.array_files import Array
from bnnkit.cli.console import print_json, print_table, progress, write
from bnnkit.engines import open_file
from bnnkit.errors import UsageError
from bnnkit.reliability import draw_reliability, picture_format
from bnnkit.runtime import artifact
from bnnkit.runtime.inputs import check_inputs

BATCH = 256


@click.command("eval")
@click.argument("path", type=options.PATH, metavar="CKPT_OR_MODEL")
@click.option(
    "--data",
    "name",
    metavar="NAME",
    help="The data set whose test part is used: digits, mnist, cifar10, or a .npz file; without "
    "it, the one that the network was trained on; a model file that was trained on "
    "a .npz file needs it.",
)
@options.data_dir
@options.samples
@options.threads
@options.as_json
@click.option(
    "--plot",
    type=options.PATH,
    metavar="FILE.png",
    help="Draw the reliability diagram, accuracy over confidence: .png, .svg or .pdf.",
)
def command(
    path: Path,
    name: str | None,
    data_dir: Path | None,
    samples: int | None,
    seed: int,
    threads: int,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Accuracy and calibration of a checkpoint or a model.

    CKPT_OR_MODEL is the folder of a run or its checkpoint.safetensors, which torch evaluates, or a
    model file, which bnnkit's runtime runs; that needs no torch.

    accuracy: the share of the images whose most probable class is right. nll: the mean negative
    log likelihood of the right class, in nats. brier: the mean squared error of the probabilities,
    from 0 to 2. ece: the expected calibration error, from 0 to 1, in 15 bins.
    """
    if plot is not None:
        picture_format(plot)
    predict, trained_on = _opened(path, samples or 0, threads)
    dataset = data.load(name, data_dir) if name else _load(trained_on, data_dir, path)
    probabilities = _in_batches(predict, dataset.x_test)
    scores: dict[str, Any] = {
        "accuracy": metrics.accuracy(probabilities, dataset.y_test),
        "nll": metrics.nll(probabilities, dataset.y_test),
        "brier": metrics.brier(probabilities, dataset.y_test),
        "ece": metrics.ece(probabilities, dataset.y_test),
    }
    if plot is not None:
        draw_reliability(
            probabilities, dataset.y_test, plot, title=f"{path.name} on {dataset.name}"
        )
    about = {"file": str(path), "data": dataset.name, "images": len(dataset.x_test)}
    if as_json:
        print_json({**about, "samples": samples or 0, **scores})
        return
    cells = [f"{len(dataset.x_test):,}", str(samples or 0)]
    cells += [f"{scores['accuracy']:.2%}", *(f"{scores[key]:.4f}" for key in list(scores)[1:])]
    print_table(f"{path} on {dataset.name}", ("images", "samples", *scores), [cells])
    if plot is not None:
        write(f"wrote {plot}")


@dataclass(frozen=True)
class _TrainedOn:
    """A data set as a configuration names it."""

    name: str | None
    dir: str | None = None


_Opened = tuple[Callable[[Array], Array], _TrainedOn]


def _opened(path: Path, samples: int, threads: int) -> _Opened:
    """What gives the class probabilities of a batch, and the data set that it was trained on."""
    if not options.is_checkpoint(path):
        engine = open_file("bnnkit", path, threads=threads)
        trained_on = _TrainedOn(artifact.metadata(artifact.read(path)).get("dataset"))

        def predict(images: Array) -> Array:
            engine.check(images)
            return engine.predict(images, samples=samples)

        return predict, trained_on
    if samples:
        raise UsageError(f"a checkpoint is evaluated deterministically: got --samples {samples}")
    return _opened_checkpoint(path)


def _opened_checkpoint(path: Path) -> _Opened:
    from bnnkit.training import evaluate, load_checkpoint

    model, config, about = load_checkpoint(path)

    def predict(images: Array) -> Array:
        check_inputs(images, about.input_shape, np.dtype(about.input_dtype))
        return evaluate(model, images)

    return predict, _TrainedOn(config.data.name, config.data.dir)


def _load(trained_on: _TrainedOn, data_dir: Path | None, path: Path) -> data.Dataset:
    name = trained_on.name
    if name is None:
        raise UsageError(f"{path} does not say what it was trained on: expected --data NAME")
    folder = data_dir or (Path(trained_on.dir) if trained_on.dir else None)
    if name in data.DATASETS or Path(folder or ".", name).is_file():
        return data.load(name, folder)
    raise UsageError(
        f"{path} was trained on {name}, which is not bundled and not found here: "
        "pass --data FILE.npz"
    )


def _in_batches(predict: Callable[[Array], Array], images: Array) -> Array:
    parts = []
    with progress("evaluating", len(images)) as advance:
        for start in range(0, len(images), BATCH):
            parts.append(predict(images[start : start + BATCH]))
            advance(len(parts[-1]))
    return np.concatenate(parts)
