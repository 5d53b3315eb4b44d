"""CIFAR-100 in its standard Python files, with its fine labels."""

from pathlib import Path

from bnnkit.data.cifar_files import read_batch, read_classes
from bnnkit.data.folder import find_folder
from bnnkit.data.image_dataset import ImageDataset
from bnnkit.errors import FileError, UsageError

_TRAIN, _TEST, _META = "train", "test", "meta"


def load_cifar100(data_dir: Path | None = None) -> ImageDataset:
    """Load CIFAR-100, uint8 (N, 3, 32, 32), RGB: 50000 images for training, 10000 for testing.

    The labels are the 100 fine ones; the 20 coarse ones are not used.

    Args:
        data_dir: The folder with the files train, test and meta, or with cifar-100-python in it;
            data/cifar100 by default.

    Raises:
        FileError: If a file is missing, truncated, or contains anything except arrays and labels.
    """
    folder = find_folder("cifar100", data_dir, (".", "cifar-100-python"), (_TRAIN, _TEST, _META))
    x_train, y_train = read_batch(folder / _TRAIN, "fine_labels")
    x_test, y_test = read_batch(folder / _TEST, "fine_labels")
    try:
        return ImageDataset(
            name="cifar100",
            x_train=x_train,
            y_train=y_train,
            x_test=x_test,
            y_test=y_test,
            classes=read_classes(folder / _META, "fine_label_names"),
        )
    except UsageError as error:
        raise FileError(f"{folder}: {error}") from error
