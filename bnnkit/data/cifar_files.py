"""The Python files of CIFAR-10 and CIFAR-100, read without executing code in the pickles.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.border import border
from bnnkit.data.plain_pickle import read_plain_pickle
from bnnkit.errors import FileError
from bnnkit.files.regular_file import read_bytes

_SHAPE = (3, 32, 32)
_MOST_BITS = 63


def read_batch(path: Path, labels_key: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Read images and labels.

    Args:
        path: The file.
        labels_key: The key of the labels, "labels" or "fine_labels".

    Returns:
        The images, uint8 (N, 3, 32, 32), and the labels, int64 (N,).

    Raises:
        FileError: If the file is truncated, or contains anything except images and labels.
    """
    content = _read_dict(path)
    data, labels = content.get(b"data"), content.get(labels_key.encode())
    n_pixels = int(np.prod(_SHAPE))
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (n_pixels,):
        raise FileError(
            f"{path}: expected its 'data' to be an array, uint8 (N, {n_pixels}), got {_kind(data)}"
        )
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise FileError(
            f"{path}: expected its {labels_key!r} to be a list of integers, got {_kind(labels)}"
        )
    if len(labels) != len(data):
        raise FileError(
            f"{path}: expected a label for each image, "
            f"got {len(data)} images and {len(labels)} labels"
        )
    if (bits := max((label.bit_length() for label in labels), default=0)) > _MOST_BITS:
        raise FileError(
            f"{path}: expected its {labels_key!r} to be indices of classes, got an integer of "
            f"{bits} bits"
        )
    # A copy, because torch requires writable arrays.
    return data.reshape(-1, *_SHAPE).copy(), np.array(labels, np.int64)


def read_classes(path: Path, names_key: str) -> tuple[str, ...]:
    """Read the names of the classes, under the key "label_names" or "fine_label_names".

    Raises:
        FileError: As for `read_batch`.
    """
    names = _read_dict(path).get(names_key.encode())
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise FileError(
            f"{path}: expected its {names_key!r} to be a list of names, got {_kind(names)}"
        )
    return tuple(name.decode(errors="replace") for name in names)


def _read_dict(path: Path) -> dict[Any, Any]:
    content = read_bytes(path)
    with border(FileError, path):
        try:
            value = read_plain_pickle(content)
        except pickle.UnpicklingError as error:
            raise FileError(f"{path} is not a batch of CIFAR-10 or CIFAR-100: {error}") from error
    if not isinstance(value, dict):
        raise FileError(f"{path}: expected a dictionary with data and labels, got {_kind(value)}")
    return {
        key.encode(errors="surrogatepass") if isinstance(key, str) else key: item
        for key, item in value.items()
    }


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return "nothing" if value is None else type(value).__name__
