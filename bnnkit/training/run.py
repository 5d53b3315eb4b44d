"""Train a network from its configuration to its checkpoint, or continue a stopped run."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from math import nan
from pathlib import Path

import torch
from rich.console import Console

from bnnkit import data
from bnnkit.data import AnyDataset, Dataset, StreamedDataset
from bnnkit.errors import ConfigError
from bnnkit.training.checkpoint import read_metadata
from bnnkit.training.config import Config, DataConfig
from bnnkit.training.history import Record, read_history
from bnnkit.training.launch import Fabric, make_fabric, quiet_libraries
from bnnkit.training.loop import Loop
from bnnkit.training.processes import agreed, connected
from bnnkit.training.progress import accuracies, print_line
from bnnkit.training.run_folder import RunFolder, Stage
from bnnkit.training.run_lock import FolderInUseError, run_lock
from bnnkit.training.run_parts import make_parts
from bnnkit.training.task import check_loss, task_of
from bnnkit.training.tensorboard_log import check_tensorboard
from bnnkit.training.validation import has_validation, n_trained_on


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a run.

    Attributes:
        out: The folder of the run.
        accuracy: Test accuracy of the finished, deterministic network, a fraction; NaN if it
            learns real values.
        accuracy_samples: Test accuracy of its ensemble; None if it was not evaluated.
        mae: Its mean absolute error on the test data if it learns real values, else None.
        mae_samples: As `accuracy_samples`.
        seconds: Duration of this call.
        was_finished: Whether the run was already finished, so that this call did nothing.
    """

    out: Path
    accuracy: float
    accuracy_samples: float | None
    mae: float | None
    mae_samples: float | None
    seconds: float
    was_finished: bool


def train(config: Config, out: Path, *, console: Console | None = None) -> Result:
    """Train a network, or continue a stopped run; write everything into a folder.

    A stopped run continues after the last epoch whose state was saved. On a CPU with the same
    number of threads its results are identical to those of a run that was not stopped. A run,
    finished or not, can be given more epochs (see `more_epochs`) or another data.preprocessing.

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
        OtherProcessError: Another process of this run failed, and raised the error.
    """
    start = time.monotonic()
    console = console or Console()
    folder = RunFolder(out)
    stage = folder.stage(config)
    if stage is Stage.FINISHED:
        scores = _finished_scores(folder, config)
        print_line(
            console, f"{out} holds this run, finished: {_words(scores, config)}; nothing to do"
        )
    else:
        with quiet_libraries():
            scores = _train(config, folder, console)
    return Result(
        out=folder.path,
        accuracy=scores.get("test_accuracy", nan),
        accuracy_samples=scores.get("test_accuracy_samples"),
        mae=scores.get("test_mae"),
        mae_samples=scores.get("test_mae_samples"),
        seconds=time.monotonic() - start,
        was_finished=stage is Stage.FINISHED,
    )


def open_dataset(config: DataConfig) -> AnyDataset:
    """Load or open the data set of a configuration.

    Raises:
        UsageError, ConfigError, FileError: As `bnnkit.data.open_data`.
    """
    folder = None if config.dir is None else Path(config.dir)
    return data.open_data(config.name, folder, workers=config.workers)


def _train(config: Config, folder: RunFolder, console: Console) -> Record:
    fabric = make_fabric(config)
    fabric.launch()
    if not fabric.is_global_zero:
        console = Console(quiet=True)
    # The run seeds torch's generators; the caller's state is restored afterwards.
    generators = torch.random.fork_rng([fabric.device] if fabric.device.type == "cuda" else [])
    try:
        with connected(fabric), generators, ExitStack() as locks:
            with agreed(fabric):
                loop = _loop(config, fabric, folder, console, locks)
            scores = loop.run()
    except KeyboardInterrupt:
        print_line(console, f"stopped; the same command continues the run in {folder.path}")
        raise
    print_line(console, f"{_words(scores, config)}; the run is in {folder.path}")
    return scores


def _loop(
    config: Config, fabric: Fabric, folder: RunFolder, console: Console, locks: ExitStack
) -> Loop:
    """Load the data and make the loop; the first process locks the folder."""
    dataset = open_dataset(config.data)
    _check(config, dataset)
    if fabric.is_global_zero:
        locks.enter_context(run_lock(folder.path))
        if folder.stage(config) is Stage.FINISHED:
            raise FolderInUseError(f"another process has just finished the run in {folder.path}")
    return Loop(make_parts(config, dataset, fabric, folder, console))


def _check(config: Config, dataset: AnyDataset) -> None:
    if isinstance(dataset, Dataset) and dataset.counts_from_one:
        largest = len(dataset.classes) - 1
        raise ConfigError(
            f"the labels of {dataset.name} are 1 to {largest}, expected 0 to {largest - 1}: "
            "subtract 1 from them, or, if there is a class 0 without examples, name all "
            f"{largest + 1} classes in the file's array classes"
        )
    _check_loss(config, dataset)
    if isinstance(dataset, StreamedDataset):
        _check_streamed(config, dataset)
    if "tensorboard" in config.log:
        check_tensorboard()
    n_examples = n_trained_on(dataset, config.validation)
    if config.batch_size > n_examples:
        raise ConfigError(
            f"batch_size {config.batch_size} is more than the {n_examples} "
            f"training examples of {dataset.name}; choose a smaller one"
        )
    needs = "keep: best" if config.keep == "best" else "patience" if config.patience else None
    if needs and n_examples == len(dataset.train) and not has_validation(dataset):
        raise ConfigError(f"{needs} needs validation examples; set validation, for example to 0.1")
    if config.ema and not config.recalibrate:
        raise ConfigError(
            "ema averages the weights, for which the batch norms must be re-estimated: set "
            "recalibrate, for example to 100"
        )
    if len(dataset.input_shape) != 3:
        _check_no_images(config, dataset)


def _check_streamed(config: Config, dataset: StreamedDataset) -> None:
    dataset.check_can_hold_out(config.validation)
    if config.auto_augment is not None:
        raise ConfigError(
            f"auto_augment augments all images at the start of an epoch; {dataset.name} is read "
            "while it is used: leave out auto_augment, and augment where your data set reads an "
            "example"
        )
    if config.store_logits:
        raise ConfigError(
            f"store_logits keeps the logits of all views of all images; {dataset.name} is read "
            "while it is used: leave out store_logits, the teachers of such data compute in each "
            "step"
        )


def _check_no_images(config: Config, dataset: AnyDataset) -> None:
    for key, value, without in (("augment", config.augment, "none"), ("cutout", config.cutout, 0)):
        if value != without:
            raise ConfigError(
                f"{key} {value} is for images, {dataset.name} has inputs of shape "
                f"{dataset.input_shape}; use {key}={without}"
            )


def _check_loss(config: Config, dataset: AnyDataset) -> None:
    check_loss(config.loss, dataset.targets, dataset.name)
    if config.model.standardize_targets and dataset.targets != "values":
        raise ConfigError(
            f"model.standardize_targets is for real values, the targets of {dataset.name} are "
            f"{dataset.targets}; leave it out"
        )
    if task_of(config.loss).outputs != "values":
        return
    for key in ("distillation", "label_smoothing", "store_logits"):
        if getattr(config, key):
            raise ConfigError(
                f"{key} is for classes and labels; loss {config.loss} is for real values: leave "
                f"out {key}"
            )


def _finished_scores(folder: RunFolder, config: Config) -> Record:
    """Return the last record of a finished run, or the checkpoint's score without records."""
    metric = task_of(config.loss).metric
    key = f"test_{metric}"
    final = [r for r in read_history(folder.metrics) if r.get("final") and key in r]
    if final:
        return final[-1]
    return {key: getattr(read_metadata(folder.checkpoint)[1], metric)}


def _words(scores: Record, config: Config) -> str:
    metric = task_of(config.loss).metric
    samples = config.eval_samples if f"test_{metric}_samples" in scores else 0
    name = "accuracy" if metric == "accuracy" else "mean absolute error"
    return f"test {name}, deterministic: {accuracies(scores, samples)}"
