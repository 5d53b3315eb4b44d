"""Compute a teacher's logits for all views of all training images, once, and store them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor, nn

from bnnkit.data import AnyDataset, Dataset
from bnnkit.errors import CheckpointError, ConfigError, FileError
from bnnkit.nn.evaluating import evaluating
from bnnkit.training import safetensors_file
from bnnkit.training.augment import N_VIEWS, UNCHANGED, Views
from bnnkit.training.checkpoint import CheckpointMetadata, checkpoint_sha256, load_checkpoint
from bnnkit.training.checkpoint_file import checkpoint_path
from bnnkit.training.config import Config
from bnnkit.training.task import task_of

_KEY = "logits"
_BATCH = 2000


def view_logits(
    teacher: Path, dataset: Dataset, *, augmented: bool, device: torch.device
) -> Tensor:
    """Return the logits of a trained network, from the file beside its checkpoint if it exists.

    One process computes them; others that need them at the same time wait for the file.

    Args:
        teacher: A run's folder, or the checkpoint in it.
        dataset: The data set; its training part is used.
        augmented: Whether to compute all views, or only the unchanged images.
        device: The device to compute on.

    Returns:
        Logits, float16 (V, N, K), on the CPU; V is 162 or 1, as numbered in `augment`.

    Raises:
        CheckpointError: The teacher cannot be read.
        ConfigError: The teacher is for other inputs or other classes.
        FileError: The file cannot be written.
    """
    checkpoint = checkpoint_path(teacher)
    about = {
        "teacher": checkpoint_sha256(checkpoint),
        "images": hashlib.sha256(dataset.x_train.tobytes()).hexdigest(),
    }
    file = checkpoint.parent / f"logits-{'views' if augmented else 'images'}.safetensors"
    with _locked(file.with_suffix(".lock")):
        found = _stored(file, about)
        if found is None:
            model = load_teacher(teacher, dataset)
            found = compute_view_logits(model.to(device), dataset, augmented=augmented)
            safetensors_file.write(file, {_KEY: found}, about)
    return found


def load_teacher(teacher: Path, dataset: AnyDataset) -> nn.Module:
    """Read a teacher for a data set, on the CPU in evaluation mode.

    Raises:
        CheckpointError: The teacher cannot be read.
        ConfigError: The teacher is for other inputs or other targets.
    """
    model, config, metadata = load_checkpoint(teacher)
    _check(teacher, metadata, dataset)
    _check_targets(teacher, config, dataset)
    return model


def compute_view_logits(model: nn.Module, dataset: Dataset, *, augmented: bool) -> Tensor:
    """Compute the logits that `view_logits` returns; on a GPU with float16 autocast."""
    device = next(model.parameters()).device
    images = torch.tensor(dataset.x_train, device=device)
    numbers = range(N_VIEWS) if augmented else [UNCHANGED]
    views = Views(images, dataset.zero_point) if images.ndim == 4 else None
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    logits = torch.empty((len(numbers), len(images), len(dataset.classes)), dtype=torch.float16)
    autocast = torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")
    with evaluating(model), autocast:
        for start in range(0, len(images), _BATCH):
            index = torch.arange(start, min(start + _BATCH, len(images)), device=device)
            of_batch = [
                model(images[index] if views is None else views(index, torch.full_like(index, v)))
                for v in numbers
            ]
            logits[:, start : start + len(index)] = torch.stack(of_batch).half().cpu()
    return logits


def _stored(file: Path, about: dict[str, str]) -> Tensor | None:
    """Read the logits in a file if they are of this teacher and these images, else None."""
    if not file.is_file():
        return None
    try:
        tensors, found = safetensors_file.read(file)
    except CheckpointError:
        return None  # a damaged file is overwritten
    return tensors[_KEY] if all(found.get(key) == about[key] for key in about) else None


def _check(teacher: Path, about: CheckpointMetadata, dataset: AnyDataset) -> None:
    theirs = (tuple(about.input_shape), about.input_dtype, len(about.classes))
    ours = (dataset.input_shape, dataset.input_dtype, len(dataset.classes))
    if theirs != ours:
        raise ConfigError(
            f"distillation: the teacher {teacher} is for inputs {theirs[1]} {theirs[0]} and "
            f"{theirs[2]} classes, {dataset.name} has {ours[1]} {ours[0]} and {ours[2]}"
        )


def _check_targets(teacher: Path, config: Config, dataset: AnyDataset) -> None:
    theirs = task_of(config.loss).targets
    if theirs != dataset.targets:
        raise ConfigError(
            f"distillation: the teacher {teacher} was trained with loss {config.loss}, for "
            f"{theirs}; the targets of {dataset.name} are {dataset.targets}"
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock, waiting while another process or thread holds it."""
    lock = FileLock(path)
    try:
        lock.acquire()
    except OSError as error:
        raise FileError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
