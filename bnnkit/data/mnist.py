"""MNIST, or another data set in the same IDX files, with or without gzip compression.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bnnkit.border import border
from bnnkit.data.folder import find_folder
from bnnkit.data.image_dataset import ImageDataset
from bnnkit.errors import FileError, UsageError
from bnnkit.files.regular_file import open_file
from bnnkit.files.unpacked import most_unpacked

_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
_UBYTE = 0x08
Array = NDArray[Any]


def load_mnist(data_dir: Path | None = None) -> ImageDataset:
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
        names = tuple("0123456789")
        return ImageDataset(name="mnist", classes=names, preprocessing=None, **images, **labels)
    except UsageError as error:
        raise FileError(f"{folder}: {error}") from error


def _read_idx(folder: Path, name: str, n_axes: int) -> Array:
    """Read an IDX file: bytes 0, 0, type, number of axes; big-endian uint32 sizes; values."""
    plain = folder / name
    path = plain if plain.is_file() else folder / f"{name}.gz"
    with open_file(path) as file, border(FileError, path):
        if path == plain:
            return _read_values(path, file, n_axes, path.stat().st_size)
        most = most_unpacked(path.stat().st_size)
        try:
            return _read_values(path, gzip.GzipFile(fileobj=file), n_axes, most)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FileError(
                f"{path} is truncated or no gzip file ({error}); fetch it again"
            ) from error


def _read_values(path: Path, file: BinaryIO | gzip.GzipFile, n_axes: int, most: int) -> Array:
    """Read an IDX file of at most `most` bytes."""
    header_size = 4 + 4 * n_axes
    header, magic = file.read(header_size), bytes([0, 0, _UBYTE, n_axes])
    if header[:4] != magic or len(header) < header_size:
        raise FileError(
            f"{path} is not an IDX file of bytes with {n_axes} axes: "
            f"expected it to begin with {magic.hex()}, got {header[:4].hex()}"
        )
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    expected = math.prod(shape)
    content = file.read(min(expected, most) + 1)
    if len(content) > most:
        raise FileError(
            f"{path} unpacks to more than {most:,} bytes, the limit for a compressed file of its "
            "size: unpack it with gunzip"
        )
    if len(content) != expected:
        more = " or more" if len(content) > expected else ""
        raise FileError(
            f"{path} is truncated or damaged: its header says {header_size + expected} bytes for "
            f"shape {shape}, got {header_size + len(content)}{more}"
        )
    return np.frombuffer(content, np.uint8).reshape(shape).copy()  # torch requires writable arrays
