"""Train a network from its configuration to its checkpoint, or continue a stopped run."""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from bnnkit import data
from bnnkit.data import Dataset
from bnnkit.errors import ConfigError
from bnnkit.training.checkpoint import read_metadata
from bnnkit.training.config import Config
from bnnkit.training.history import Record, read_history
from bnnkit.training.launch import Fabric, make_fabric, quiet_libraries
from bnnkit.training.loop import Loop
from bnnkit.training.progress import accuracies, print_line
from bnnkit.training.run_folder import RunFolder, Stage
from bnnkit.training.run_lock import FolderInUseError, run_lock
from bnnkit.training.run_parts import make_parts
from bnnkit.training.tensorboard_log import check_tensorboard
from bnnkit.training.validation import hold_out


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a run.

    Attributes:
        out: The folder of the run.
        accuracy: Test accuracy of the finished, deterministic network, a fraction.
        accuracy_samples: Test accuracy of its ensemble; None if it was not evaluated.
        seconds: Duration of this call.
        was_finished: Whether the run was already finished, so that this call did nothing.
    """

    out: Path
    accuracy: float
    accuracy_samples: float | None
    seconds: float
    was_finished: bool


def train(config: Config, out: Path, *, console: Console | None = None) -> Result:
    """Train a network, or continue a stopped run; write everything into a folder.

    A stopped run continues after the last epoch whose state was saved. On a CPU with the same
    number of threads its results are identical to those of a run that was not stopped. A run,
    finished or not, can be given more epochs; see `more_epochs`.

    Args:
        config: The run's configuration.
        out: The folder for config.yaml, metrics.jsonl, curves.png, checkpoint.safetensors, and
            state.safetensors. It is created if it is missing.
        console: The console to report to; standard output by default.

    Raises:
        ConfigError: The configuration does not fit the data or the machine, or the folder holds a
            run of another configuration.
        UsageError: The data set is unknown, or the loss became infinite or NaN.
        FileError: Data cannot be read, the folder cannot be written, or another process trains in
            it.
    """
    start = time.monotonic()
    console = console or Console()
    folder = RunFolder(out)
    stage = folder.stage(config)
    if stage is Stage.FINISHED:
        scores = _finished_scores(folder)
        print_line(
            console, f"{out} holds this run, finished: {_words(scores, config)}; nothing to do"
        )
    else:
        with quiet_libraries():
            scores = _train(config, folder, console)
    return Result(
        out=folder.path,
        accuracy=scores["test_accuracy"],
        accuracy_samples=scores.get("test_accuracy_samples"),
        seconds=time.monotonic() - start,
        was_finished=stage is Stage.FINISHED,
    )


def _train(config: Config, folder: RunFolder, console: Console) -> Record:
    fabric = make_fabric(config)
    dataset = data.load(
        config.data.name, None if config.data.dir is None else Path(config.data.dir)
    )
    _check(config, dataset)
    # Before the launch, which starts the other processes of this run.
    is_first = fabric.global_rank == 0 and fabric.local_rank == 0
    with run_lock(folder.path) if is_first else nullcontext():
        if is_first and folder.stage(config) is Stage.FINISHED:
            raise FolderInUseError(f"another process has just finished the run in {folder.path}")
        return _launch(config, dataset, fabric, folder, console)


def _launch(
    config: Config, dataset: Dataset, fabric: Fabric, folder: RunFolder, console: Console
) -> Record:
    fabric.launch()
    if not fabric.is_global_zero:
        console = Console(quiet=True)
    try:
        # The run seeds torch's generators; the caller's state is restored afterwards.
        with torch.random.fork_rng([fabric.device] if fabric.device.type == "cuda" else []):
            scores = Loop(make_parts(config, dataset, fabric, folder, console)).run()
    except KeyboardInterrupt:
        print_line(console, f"stopped; the same command continues the run in {folder.path}")
        raise
    print_line(console, f"{_words(scores, config)}; the run is in {folder.path}")
    return scores


def _check(config: Config, dataset: Dataset) -> None:
    if dataset.counts_from_one:
        largest = len(dataset.classes) - 1
        raise ConfigError(
            f"the labels of {dataset.name} are 1 to {largest}, expected 0 to {largest - 1}: "
            "subtract 1 from them, or, if there is a class 0 without examples, name all "
            f"{largest + 1} classes in the file's array classes"
        )
    if "tensorboard" in config.log:
        check_tensorboard()
    n_examples = len(hold_out(len(dataset.x_train), config.validation)[0])
    if config.batch_size > n_examples:
        raise ConfigError(
            f"batch_size {config.batch_size} is more than the {n_examples} "
            f"training examples of {dataset.name}; choose a smaller one"
        )
    needs = "keep: best" if config.keep == "best" else "patience" if config.patience else None
    if needs and n_examples == len(dataset.x_train):
        raise ConfigError(f"{needs} needs validation examples; set validation, for example to 0.1")
    if config.ema and not config.recalibrate:
        raise ConfigError(
            "ema averages the weights, for which the batch norms must be re-estimated: set "
            "recalibrate, for example to 100"
        )
    if config.augment != "none" and len(dataset.input_shape) != 3:
        raise ConfigError(
            f"augment {config.augment} is for images, {dataset.name} has inputs of shape "
            f"{dataset.input_shape}; use augment=none"
        )


def _finished_scores(folder: RunFolder) -> Record:
    """Return the last record of a finished run, or the checkpoint's accuracy without records."""
    final = [r for r in read_history(folder.metrics) if r.get("final") and "test_accuracy" in r]
    return final[-1] if final else {"test_accuracy": read_metadata(folder.checkpoint)[1].accuracy}


def _words(scores: Record, config: Config) -> str:
    samples = config.eval_samples if "test_accuracy_samples" in scores else 0
    return f"test accuracy, deterministic: {accuracies(scores, samples)}"
