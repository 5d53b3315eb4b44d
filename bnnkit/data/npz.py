"""Data sets in NumPy .npz files: x and y, or separate training and test arrays."""

import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from bnnkit.border import border
from bnnkit.data.dataset import Dataset, as_inputs, split
from bnnkit.data.npy import read_npy
from bnnkit.data.targets import as_targets
from bnnkit.errors import FileError, UsageError
from bnnkit.files.kinds import but_it_is, kind_of_path
from bnnkit.files.regular_file import open_file
from bnnkit.files.unpacked import most_unpacked

_WHOLE = ("x", "y")
_LARGEST = 99_999  # a network has an output for every class
_PARTS = ("x_train", "y_train", "x_test", "y_test")
_Choice = Callable[[Collection[str]], tuple[str, ...]]
"""Chooses the arrays to read, by the names of those in the file."""


def load_npz(path: Path) -> Dataset:
    """Load the data of an .npz file.

    Args:
        path: A file with x and y, which are split 80 % to 20 % by `split`, or with x_train,
            y_train, x_test and y_test. x: images, uint8 (N, C, H, W) or gray (N, H, W); or real
            inputs of any float dtype, (N, F), (N, C, T) or (N, C, H, W). y: classes, integers from
            0, of any integer dtype, (N,); labels, booleans or integers 0 and 1, (N, K); or real
            values of any float dtype, (N,) or (N, K). Optional: classes, the names of the classes,
            labels or values, strings (K,). By default the classes are 0 to the largest training
            label, which must be less than 100,000.

    Raises:
        FileError: If the file is missing, truncated or not .npz, lacks an array, contains Python
            objects, or its arrays are not as described.
    """
    with border(FileError, path):
        return _load(path)


def read_named(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read arrays of an .npz file by their names.

    Raises:
        FileError: If the file is missing, truncated or not .npz, lacks an array or contains Python
            objects.
    """

    def choose(found: Collection[str]) -> tuple[str, ...]:
        if not set(found) >= set(names):
            there = ", ".join(sorted(map(str, found))) or "none"
            raise UsageError(f"expected the arrays {', '.join(names)}; got {there}")
        return tuple(names)

    with border(FileError, path):
        return _read(path, choose)


def from_arrays(name: str, arrays: dict[str, NDArray[Any]]) -> Dataset:
    """Make a data set of arrays, which are those of an .npz file in `load_npz`.

    Raises:
        UsageError: If arrays are missing or not as described there.
    """
    found = {key: arrays[key] for key in _arrays_of_a_data_set(arrays)}
    if "x" in found:
        found |= _split_whole(found["x"], found["y"])
    targets = {key: as_targets(found[key], key) for key in ("y_train", "y_test")}
    return Dataset(
        name=name,
        x_train=as_inputs(found["x_train"]),
        x_test=as_inputs(found["x_test"]),
        classes=_classes(found, targets["y_train"]),
        preprocessing=None,
        **targets,
    )


def _load(path: Path) -> Dataset:
    arrays = _read(path, _arrays_of_a_data_set)
    try:
        return from_arrays(path.stem, arrays)
    except UsageError as error:
        raise FileError(f"{path}: {error}") from error


def _arrays_of_a_data_set(names: Collection[str]) -> tuple[str, ...]:
    """Return the names of the arrays to use, of those that there are."""
    wanted = _WHOLE if set(names) >= set(_WHOLE) else _PARTS
    if not set(names) >= set(wanted):
        found = ", ".join(sorted(map(str, names))) or "none"
        raise UsageError(f"expected the arrays x and y, or {', '.join(_PARTS)}; got {found}")
    return (*wanted, *({"classes"} & set(names)))


def _read(path: Path, choose: _Choice) -> dict[str, NDArray[Any]]:
    try:
        with open_file(path) as opened:
            return _read_arrays(opened, choose)
    except UsageError as error:
        raise FileError(f"{path}: {error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        is_of_objects = "Object arrays" in str(error)
        reason = (
            "it holds Python objects"
            if is_of_objects
            else f"it is damaged ({error}){but_it_is(kind_of_path(path))}"
        )
        raise FileError(f"{path} cannot be read as an .npz file of arrays: {reason}") from error


def _read_arrays(opened: BinaryIO, choose: _Choice) -> dict[str, NDArray[Any]]:
    most = most_unpacked(os.fstat(opened.fileno()).st_size)
    with zipfile.ZipFile(opened) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        names = choose(members)
        unpacked = sum(members[name].file_size for name in names)
        if unpacked > most:
            raise UsageError(
                f"its arrays have {unpacked:,} bytes, more than {most:,}, the limit for a "
                "compressed file of its size: write it with np.savez, without compression"
            )
        return {name: _read_member(archive, members[name]) for name in names}


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise UsageError(
            f"{info.filename} is encrypted or compressed in another way than by np.savez or "
            "np.savez_compressed: write it with one of them"
        )
    with archive.open(info) as member:
        return read_npy(member, info.file_size)


def _split_whole(x: NDArray[Any], y: NDArray[Any]) -> dict[str, NDArray[Any]]:
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise UsageError(
            f"x has shape {x.shape} and y {y.shape}; expected as many labels as inputs"
        )
    train, test = split(len(x))
    return {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}


def _classes(arrays: dict[str, NDArray[Any]], y_train: NDArray[Any]) -> tuple[str, ...]:
    if "classes" not in arrays:
        return tuple(str(number) for number in range(_n_classes(y_train)))
    names = arrays["classes"]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise UsageError(
            f"classes is {names.dtype} {names.shape}; expected the classes' names, strings (K,)"
        )
    if len(names) > _LARGEST + 1:
        raise UsageError(f"classes has {len(names):,} names; expected at most {_LARGEST + 1:,}")
    return tuple(str(name) for name in names)


def _n_classes(y_train: NDArray[Any]) -> int:
    if y_train.ndim == 2:
        if y_train.shape[1] > _LARGEST + 1:
            raise UsageError(
                f"y_train has {y_train.shape[1]:,} columns; expected at most {_LARGEST + 1:,}"
            )
        return y_train.shape[1]
    largest = int(y_train.max(initial=0))
    if largest > _LARGEST:
        raise UsageError(
            f"the largest label is {largest}, of {len(y_train)} training examples; expected "
            f"the classes' indices, from 0 to at most {_LARGEST}"
        )
    return largest + 1
