"""Checkpoints: a trained network's tensors, configuration and metadata in one file."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import bnnkit
from bnnkit.border import border
from bnnkit.data import AnyDataset
from bnnkit.data.own_code import is_own
from bnnkit.errors import CheckpointError, ConfigError, FileError, UsageError, brief
from bnnkit.files.regular_file import open_file
from bnnkit.nn.choices import choices
from bnnkit.nn.sign import scale_training_noise, training_noise_scale
from bnnkit.training import safetensors_file
from bnnkit.training.build_model import build_model
from bnnkit.training.checkpoint_file import checkpoint_path
from bnnkit.training.config import Config, dump_config, parse_config
from bnnkit.training.size_limit import (
    GRACE_BYTES,
    OWN_GRACE_BYTES,
    check_input_shape,
    size_limit,
)
from bnnkit.training.task import Metric, Task, task_of

NOISE_SCALE = "noise_scale"
"""The key of the scale of the noise, which only runs with noise_scale set."""


@dataclass(frozen=True, kw_only=True)
class CheckpointMetadata:
    """The data a network was trained on, and its accuracy.

    Attributes:
        dataset: The data set's name.
        accuracy: Accuracy of the deterministic network on `part`, a fraction, of classes or
            labels; None for real values.
        mae: Its mean absolute error for real values; None for others.
        part: The evaluated part of the data, "test" or "validation".
        classes: The names of the classes, labels or values.
        input_shape: (C, H, W), (C, T) or (F,).
        input_dtype: "uint8" or "float32".
        zero_point: The zero point of each channel of uint8 images; None for real inputs.
        preprocessing: How an image file becomes an input, as JSON (`bnnkit.images.preprocessing`);
            None if neither the data set nor the configuration says it.
        version: The version of bnnkit that wrote the file.
    """

    dataset: str
    accuracy: float | None
    classes: tuple[str, ...]
    input_shape: tuple[int, ...]
    input_dtype: str
    zero_point: tuple[int, ...] | None
    mae: float | None = None
    preprocessing: str | None = None
    part: str = "test"
    version: str = bnnkit.__version__


class Checkpoint(NamedTuple):
    """A trained network, in evaluation mode on the CPU, its configuration, and its metadata."""

    model: nn.Module
    config: Config
    metadata: CheckpointMetadata

    @property
    def choices(self) -> dict[str, str]:
        """The noises, estimators and weight rules of the network, by name."""
        return choices(self.model)

    @property
    def task(self) -> Task:
        """What the network has learned, and what its outputs hold."""
        return task_of(self.config.loss)


def describe(
    dataset: AnyDataset, score: float, part: str = "test", *, metric: Metric = "accuracy"
) -> CheckpointMetadata:
    """Make the metadata of a network trained on a data set, with its score on a part of it."""
    return CheckpointMetadata(
        dataset=dataset.name,
        accuracy=score if metric == "accuracy" else None,
        mae=score if metric == "mae" else None,
        classes=dataset.classes,
        input_shape=dataset.input_shape,
        input_dtype=dataset.input_dtype,
        zero_point=dataset.zero_point,
        preprocessing=dataset.preprocessing.to_json() if dataset.preprocessing else None,
        part=part,
    )


def save_checkpoint(
    path: Path, model: nn.Module, config: Config, metadata: CheckpointMetadata
) -> None:
    """Write a network atomically, with the scale of its noise if training has set it.

    Raises:
        FileError: The file cannot be written.
    """
    about = {**asdict(metadata), "config": dump_config(config)}
    scale = training_noise_scale(model)
    if scale is not None:
        about[NOISE_SCALE] = scale
    safetensors_file.write(path, model.state_dict(), about)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a trained network.

    Args:
        path: A run's folder, or the checkpoint in it.

    Raises:
        CheckpointError: The file is missing, truncated, not a checkpoint, of a newer format, or
            its tensors do not fit the model that it names.
    """
    path = checkpoint_path(path)
    tensors, about = safetensors_file.read(path)
    with border(CheckpointError, path):
        config, metadata = _parse(path, about)
        file_bytes = path.stat().st_size
        grace_bytes = OWN_GRACE_BYTES if is_own(config.model.name) else GRACE_BYTES
        limit = size_limit(file_bytes, len(tensors), grace_bytes=grace_bytes)
        # The fresh weights are replaced below.
        with torch.random.fork_rng(devices=[]), limit:
            try:
                check_input_shape(metadata.input_shape, file_bytes)
                model = build_model(config.model, metadata).eval()
            except (CheckpointError, ConfigError) as error:
                raise CheckpointError(f"{path}: {error}") from error
    what = f"the model {config.model.name}"
    safetensors_file.check_fit(path, tensors, model.state_dict(), what)
    model.load_state_dict(tensors)
    with border(CheckpointError, path):
        restore_noise_scale(model, about)
    return Checkpoint(model, config, metadata)


def restore_noise_scale(model: nn.Module, about: Mapping[str, Any]) -> None:
    """Give a network the scale of the noise in a checkpoint's metadata, if there is one.

    Raises:
        CheckpointError: The scale is damaged, or the network has no noise to scale.
    """
    if NOISE_SCALE in about:
        try:
            scale_training_noise(model, about[NOISE_SCALE])
        except UsageError as error:
            raise CheckpointError(f"the checkpoint's noise scale: {error}") from error


def read_metadata(path: Path) -> tuple[Config, CheckpointMetadata]:
    """Read the configuration and metadata without building the model; `path` as above.

    Raises:
        CheckpointError: As for `load_checkpoint`.
    """
    path = checkpoint_path(path)
    about = safetensors_file.read_about(path)
    with border(CheckpointError, path):
        return _parse(path, about)


def checkpoint_sha256(path: Path) -> str:
    """Compute the SHA-256 of a checkpoint's file, in hexadecimal; `path` as above.

    Raises:
        CheckpointError: The file is missing.
        FileError: The file cannot be read.
    """
    path = checkpoint_path(path)
    try:
        with open_file(path) as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
            return digest.hexdigest()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _parse(path: Path, about: dict[str, Any]) -> tuple[Config, CheckpointMetadata]:
    try:
        zero_point = about["zero_point"]
        metadata = CheckpointMetadata(
            dataset=str(about["dataset"]),
            accuracy=_number(about["accuracy"]),
            mae=_number(about.get("mae")),
            classes=tuple(str(name) for name in about["classes"]),
            input_shape=tuple(int(size) for size in about["input_shape"]),
            input_dtype=str(about["input_dtype"]),
            zero_point=None if zero_point is None else tuple(int(z) for z in zero_point),
            preprocessing=_text(about.get("preprocessing")),
            part=str(about.get("part", "test")),
            version=str(about["version"]),
        )
        if not isinstance(about["config"], str):
            raise TypeError(f"config is {brief(about['config'])}")
        return parse_config(about["config"], source=str(path)), metadata
    except KeyError as error:
        raise CheckpointError(f"{path} is not a checkpoint: its metadata lacks {error}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{path} is not a checkpoint: its metadata is damaged ({error})"
        ) from error
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
