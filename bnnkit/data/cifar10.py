"""CIFAR-10 in its standard Python files."""

from pathlib import Path

import numpy as np

from bnnkit.data.cifar_files import read_batch, read_classes
from bnnkit.data.folder import find_folder
from bnnkit.data.image_dataset import ImageDataset
from bnnkit.errors import FileError, UsageError

_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = "test_batch"
_META = "batches.meta"


def load_cifar10(data_dir: Path | None = None) -> ImageDataset:
    """Load CIFAR-10, uint8 (N, 3, 32, 32), RGB: 50000 images for training, 10000 for testing.

    Args:
        data_dir: The folder with the batches, or with cifar-10-batches-py in it; data/cifar10 by
            default.

    Raises:
        FileError: If a file is missing, truncated, or contains anything except arrays and labels.
    """
    folder = find_folder(
        "cifar10", data_dir, (".", "cifar-10-batches-py"), (*_TRAIN, _TEST, _META)
    )
    train = [read_batch(folder / name, "labels") for name in _TRAIN]
    x_test, y_test = read_batch(folder / _TEST, "labels")
    try:
        return ImageDataset(
            name="cifar10",
            x_train=np.concatenate([x for x, _ in train]),
            y_train=np.concatenate([y for _, y in train]),
            x_test=x_test,
            y_test=y_test,
            classes=read_classes(folder / _META, "label_names"),
        )
    except UsageError as error:
        raise FileError(f"{folder}: {error}") from error
