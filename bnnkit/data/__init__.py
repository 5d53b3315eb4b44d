"""Data sets: digits, MNIST, CIFAR-10 and -100, image folders, .npz files, and your own.

They are plain arrays, or examples that are read while they are used.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, overload

from bnnkit.border import border
from bnnkit.data.cifar10 import load_cifar10
from bnnkit.data.cifar100 import load_cifar100
from bnnkit.data.dataset import Dataset
from bnnkit.data.digits import load_digits
from bnnkit.data.image_dataset import ImageDataset
from bnnkit.data.image_folder import load_image_folder, open_image_folder
from bnnkit.data.mnist import load_mnist
from bnnkit.data.npz import load_npz
from bnnkit.data.own_code import is_own, trust_code
from bnnkit.data.own_dataset import load_own
from bnnkit.data.streamed import StreamedDataset
from bnnkit.errors import ConfigError, FileError, UsageError
from bnnkit.files.regular_file import open_file

__all__ = [
    "DATASETS",
    "AnyDataset",
    "Dataset",
    "ImageDataset",
    "StreamedDataset",
    "check_name",
    "load",
    "open_data",
    "trust_code",
]

AnyDataset = Dataset | StreamedDataset

DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": load_digits,
    "mnist": load_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "folder": load_image_folder,
}


def check_name(name: str, data_dir: Path | None = None) -> None:
    """Check what `load` would refuse at once: an unknown name, or a file that is not there.

    Raises:
        UsageError: If the name is unknown.
        FileError: If it is the path of an .npz file that cannot be opened.
    """
    if name.endswith(".npz") and name not in DATASETS:
        open_file(Path(data_dir or ".", name)).close()
    elif name not in DATASETS and not is_own(name):
        raise UsageError(
            f"unknown data set {name!r}; expected {', '.join(DATASETS)}, the path of an .npz "
            "file, or your own as module:function"
        )


@overload
def load(
    name: Literal["digits", "mnist", "cifar10", "cifar100"], data_dir: Path | None = None
) -> ImageDataset: ...


@overload
def load(name: str, data_dir: Path | None = None) -> Dataset: ...


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """Load a data set into memory, by name or from a file.

    Args:
        name: A key of `DATASETS`, the path of an .npz file, or a function of your own,
            "module:function"; see `load_own`.
        data_dir: The folder of the standard files; for an .npz file, the folder that its path is
            relative to; for a function, its argument `data_dir`.

    Raises:
        UsageError: If the name is unknown.
        ConfigError: If a function of your own is not trusted, fails or returns no data set, or one
            that is read while it is used.
        FileError: If the files are missing, damaged, or have other contents.
    """
    if is_own(name):
        found = load_own(name, data_dir)
        if isinstance(found, StreamedDataset):
            raise ConfigError(f"{name} is read while it is used; expected arrays")
        return found
    if name in DATASETS:
        with border(FileError, data_dir or name):
            return DATASETS[name](data_dir)
    check_name(name, data_dir)
    return load_npz(Path(data_dir or ".", name))


def open_data(
    name: str, data_dir: Path | None = None, *, workers: int | None = None
) -> AnyDataset:
    """Load a data set as `load`, or open one that need not fit into memory.

    Args:
        name: As in `load`. A folder of images that unpack to more than 2 GiB, and torch data sets
            of your own, are read while they are used.
        data_dir: As in `load`.
        workers: Processes that read; None takes one for each CPU, at most 8.

    Raises:
        UsageError, ConfigError, FileError: As `load`.
    """
    if is_own(name):
        return load_own(name, data_dir, workers=workers)
    if name == "folder":
        with border(FileError, data_dir or name):
            return open_image_folder(data_dir, workers=workers)
    return load(name, data_dir)
