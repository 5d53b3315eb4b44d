"""Data sets as plain arrays: digits, MNIST, CIFAR-10 and -100, image folders, .npz files."""

from collections.abc import Callable
from pathlib import Path

from bnnkit.border import border
from bnnkit.data.cifar10 import load_cifar10
from bnnkit.data.cifar100 import load_cifar100
from bnnkit.data.dataset import Dataset
from bnnkit.data.digits import load_digits
from bnnkit.data.image_folder import load_image_folder
from bnnkit.data.mnist import load_mnist
from bnnkit.data.npz import load_npz
from bnnkit.data.own_code import is_own, trust_code
from bnnkit.data.own_dataset import load_own
from bnnkit.errors import FileError, UsageError

__all__ = ["DATASETS", "Dataset", "load", "trust_code"]

DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": load_digits,
    "mnist": load_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "folder": load_image_folder,
}


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """Load a data set by name, or from a file.

    Args:
        name: A key of `DATASETS`, the path of an .npz file, or a function of your own,
            "module:function"; see `load_own`.
        data_dir: The folder of the standard files; for an .npz file, the folder that its path is
            relative to; for a function, its argument `data_dir`.

    Raises:
        UsageError: If the name is unknown.
        ConfigError: If a function of your own is not trusted, fails or returns no data set.
        FileError: If the files are missing, damaged, or have other contents.
    """
    if name in DATASETS:
        with border(FileError, data_dir or name):
            return DATASETS[name](data_dir)
    if name.endswith(".npz"):
        return load_npz(Path(data_dir or ".", name))
    if is_own(name):
        return load_own(name, data_dir)
    raise UsageError(
        f"unknown data set {name!r}; expected {', '.join(DATASETS)}, the path of an .npz file, or "
        "your own as module:function"
    )
