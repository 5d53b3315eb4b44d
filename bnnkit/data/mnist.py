"""MNIST, or another data set in the same IDX files, with or without gzip compression.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.data.dataset import Dataset
from bnnkit.data.folder import find_folder, read_bytes
from bnnkit.errors import FileError, UsageError

_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
_UBYTE = 0x08


def load_mnist(data_dir: Path | None = None) -> Dataset:
    """Load MNIST, uint8 (N, 1, 28, 28): 60000 images for training, 10000 for testing.

    Args:
        data_dir: The folder with the four standard files, or with MNIST/raw in it; data/mnist by
            default.

    Raises:
        FileError: If a file is missing, truncated, or not an IDX file of the expected kind.
    """
    folder = find_folder(
        "mnist", data_dir, (".", "MNIST/raw"), tuple(_FILES.values()), suffixes=("", ".gz")
    )
    images = {key: _read_idx(folder, _FILES[key], 3)[:, None] for key in ("x_train", "x_test")}
    labels = {
        key: _read_idx(folder, _FILES[key], 1).astype(np.int64) for key in ("y_train", "y_test")
    }
    try:
        return Dataset(name="mnist", classes=tuple("0123456789"), **images, **labels)
    except UsageError as error:
        raise FileError(f"{folder}: {error}") from error


def _read_idx(folder: Path, name: str, n_axes: int) -> NDArray[Any]:
    """Read an IDX file: bytes 0, 0, type, number of axes; big-endian uint32 sizes; values."""
    path, content = _read(folder, name)
    header_size = 4 + 4 * n_axes
    magic = bytes([0, 0, _UBYTE, n_axes])
    if content[:4] != magic or len(content) < header_size:
        raise FileError(
            f"{path} is not an IDX file of bytes with {n_axes} axes: "
            f"expected it to begin with {magic.hex()}, got {content[:4].hex()}"
        )
    shape = [int(size) for size in np.frombuffer(content, ">u4", count=n_axes, offset=4)]
    expected_size = header_size + math.prod(shape)
    if len(content) != expected_size:
        raise FileError(
            f"{path} is truncated or damaged: its header says {expected_size} bytes for shape "
            f"{tuple(shape)}, got {len(content)}"
        )
    pixels = np.frombuffer(content, np.uint8, offset=header_size)
    return pixels.reshape(shape).copy()  # torch requires writable arrays


def _read(folder: Path, name: str) -> tuple[Path, bytes]:
    path = folder / name
    if path.is_file():
        return path, read_bytes(path)
    path = folder / f"{name}.gz"
    try:
        return path, gzip.decompress(read_bytes(path))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(
            f"{path} is truncated or no gzip file ({error}); fetch it again"
        ) from error
