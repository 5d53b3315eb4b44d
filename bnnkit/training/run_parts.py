"""The parts of a run: network, data, scores and files, made from the configuration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

from bnnkit.artifact.format.constants import Mode
from bnnkit.data import AnyDataset, Dataset
from bnnkit.data.examples import ArrayExamples
from bnnkit.data.streamed import AnyExamples
from bnnkit.errors import ConfigError, UsageError
from bnnkit.images.preprocessing import preprocessing_from
from bnnkit.images.reader import image_reader
from bnnkit.nn.sign import has_noisy_signs, scale_training_noise
from bnnkit.training.batches import Batches
from bnnkit.training.build_model import build_model
from bnnkit.training.config import Config
from bnnkit.training.ema import Ema
from bnnkit.training.history import History
from bnnkit.training.launch import Fabric
from bnnkit.training.randomness import seed_initial_weights
from bnnkit.training.run_folder import RunFolder
from bnnkit.training.schedule import noise_scale_at
from bnnkit.training.scores import Scores
from bnnkit.training.stage import freeze, start_from
from bnnkit.training.standardize import fill_in
from bnnkit.training.streamed_batches import StreamedBatches
from bnnkit.training.task import Task, task_of
from bnnkit.training.validation import hold_out


@dataclass(frozen=True, kw_only=True)
class RunParts:
    """The parts of a run on this process's device.

    Attributes:
        config: The run's configuration.
        dataset: The data set.
        fabric: The launched Fabric.
        folder: The folder of all results.
        console: The console to report to.
        network: The network on the device, with the weights that the run starts from.
        ema: The average of the network's weights; None without one.
        task: What the network learns.
        batches: Batches of the training examples.
        validation: Scores on the held-out examples.
        test: Scores on the test data.
        history: The records so far.
    """

    config: Config
    dataset: AnyDataset
    fabric: Fabric
    folder: RunFolder
    console: Console
    network: nn.Module
    ema: Ema | None
    task: Task
    batches: Batches
    validation: Scores
    test: Scores
    history: History

    @property
    def mode(self) -> Mode:
        """The mode of deployment of the network with its present noise."""
        wants_samples = self.config.recalibrate_mode != "deterministic"
        return "samples" if wants_samples and has_noisy_signs(self.network) else "deterministic"


def make_parts(
    config: Config, dataset: AnyDataset, fabric: Fabric, folder: RunFolder, console: Console
) -> RunParts:
    """Make the parts of a run, without writing.

    Raises:
        ConfigError: The model cannot be built, freeze does not fit it, the configuration needs
            noisy signs and the model has none, or the preprocessing does not fit the data set.
        CheckpointError: The network to start from cannot be read, or does not fit the model.
    """
    _check_preprocessing(config, dataset)
    seed_initial_weights(config.seed)
    network = _placed(_network(config, dataset, folder), fabric.device)
    _check_mode(config, network)
    task = task_of(config.loss, getattr(network, "output_scale", None))
    batches, held_out = _split(config, dataset, fabric)
    validation, test = (
        Scores(network, part, examples, config.eval_samples, fabric, task)
        for part, examples in (("validation", held_out), ("test", dataset.test))
    )
    return RunParts(
        config=config,
        dataset=dataset,
        fabric=fabric,
        folder=folder,
        console=console,
        network=network,
        ema=Ema(network, config.ema) if config.ema else None,
        task=task,
        batches=batches,
        validation=validation,
        test=test,
        history=History(folder.metrics),
    )


def _check_preprocessing(config: Config, dataset: AnyDataset) -> None:
    """Check that images can become inputs like those of the data set, which files then promise."""
    said = config.data.preprocessing
    chosen = dataset.preprocessing if said is None else preprocessing_from(said)
    if chosen is None:
        return
    try:
        image_reader(dataset.input_shape, np.dtype(dataset.input_dtype), chosen)
    except UsageError as error:
        raise ConfigError(f"the preprocessing does not fit the data set: {error}") from error


def _split(config: Config, dataset: AnyDataset, fabric: Fabric) -> tuple[Batches, AnyExamples]:
    """Return the batches to train on, and the examples for validation."""
    place: dict[str, Any] = {"rank": fabric.global_rank, "processes": fabric.world_size}
    if isinstance(dataset, Dataset):
        examples, held_out = hold_out(len(dataset.train), config.validation)
        batches = Batches(config, dataset, torch.from_numpy(examples), fabric.device, **place)
        return batches, dataset.train.part(held_out)
    train, validation = dataset.train, dataset.validation
    if validation is None and not train.is_stream:
        examples, held_out = hold_out(len(train), config.validation)
        train, validation = train.part(examples), train.part(held_out)
    streamed = StreamedBatches(config, dataset, train, fabric.device, **place)
    nothing = ArrayExamples(np.zeros(0), np.zeros(0))
    return streamed, nothing if validation is None else validation


def _network(config: Config, dataset: AnyDataset, folder: RunFolder) -> nn.Module:
    """Build the network; a run that is continued does not need the one that it started from."""
    network = build_model(config.model, dataset)
    if not folder.state.is_file():
        fill_in(network, dataset)
    if config.start_from is not None and not folder.state.is_file():
        start_from(Path(config.start_from), network)
    freeze(network, config.freeze)
    if config.noise_scale is not None:
        try:
            scale_training_noise(network, noise_scale_at(config.noise_scale, config.epochs))
        except UsageError as error:
            raise ConfigError(f"noise_scale: {error}") from error
    return network


def _placed(network: nn.Module, device: torch.device) -> nn.Module:
    """Move the network to the device; convolutions on a GPU are faster with channels last."""
    network.to(device)
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _check_mode(config: Config, network: nn.Module) -> None:
    if config.recalibrate_mode == "samples" and not has_noisy_signs(network):
        raise ConfigError(
            "recalibrate_mode samples needs a network with noisy signs, this one has none; "
            "use recalibrate_mode=auto"
        )
