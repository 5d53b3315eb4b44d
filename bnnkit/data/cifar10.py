"""CIFAR-10 in its standard Python files, read without executing code in the pickles.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.border import border
from bnnkit.data.dataset import Dataset
from bnnkit.data.folder import find_folder
from bnnkit.data.plain_pickle import read_plain_pickle
from bnnkit.errors import FileError, UsageError
from bnnkit.regular_file import read_bytes

_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = ("test_batch",)
_META = "batches.meta"
_SHAPE = (3, 32, 32)


def load_cifar10(data_dir: Path | None = None) -> Dataset:
    """Load CIFAR-10, uint8 (N, 3, 32, 32), RGB: 50000 images for training, 10000 for testing.

    Args:
        data_dir: The folder with the batches, or with cifar-10-batches-py in it; data/cifar10 by
            default.

    Raises:
        FileError: If a file is missing, truncated, or contains anything except arrays and labels.
    """
    folder = find_folder(
        "cifar10", data_dir, (".", "cifar-10-batches-py"), (*_TRAIN, *_TEST, _META)
    )
    x_train, y_train = _read_batches(folder, _TRAIN)
    x_test, y_test = _read_batches(folder, _TEST)
    try:
        return Dataset(
            name="cifar10",
            x_train=x_train,
            y_train=y_train,
            x_test=x_test,
            y_test=y_test,
            classes=_read_classes(folder / _META),
        )
    except UsageError as error:
        raise FileError(f"{folder}: {error}") from error


def _read_batches(folder: Path, names: tuple[str, ...]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    batches = [_read_batch(folder / name) for name in names]
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])


def _read_batch(path: Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
    content = _read_dict(path)
    data, labels = content.get(b"data"), content.get(b"labels")
    n_pixels = int(np.prod(_SHAPE))
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (n_pixels,):
        raise FileError(
            f"{path}: expected its 'data' to be an array, uint8 (N, {n_pixels}), got {_kind(data)}"
        )
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise FileError(
            f"{path}: expected its 'labels' to be a list of integers, got {_kind(labels)}"
        )
    if len(labels) != len(data):
        raise FileError(
            f"{path}: expected a label for each image, "
            f"got {len(data)} images and {len(labels)} labels"
        )
    return data.reshape(-1, *_SHAPE), np.array(labels, np.int64)


def _read_classes(path: Path) -> tuple[str, ...]:
    names = _read_dict(path).get(b"label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise FileError(
            f"{path}: expected its 'label_names' to be a list of names, got {_kind(names)}"
        )
    return tuple(name.decode(errors="replace") for name in names)


def _read_dict(path: Path) -> dict[Any, Any]:
    content = read_bytes(path)
    with border(FileError, path):
        try:
            value = read_plain_pickle(content)
        except pickle.UnpicklingError as error:
            raise FileError(f"{path} is not a batch of CIFAR-10: {error}") from error
    if not isinstance(value, dict):
        raise FileError(f"{path}: expected a dictionary with data and labels, got {_kind(value)}")
    return {key.encode() if isinstance(key, str) else key: item for key, item in value.items()}


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return "nothing" if value is None else type(value).__name__
