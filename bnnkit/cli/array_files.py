"""Arrays that commands read and write: .npy, and .npz for several."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.atomic import replacing
from bnnkit.errors import FileError, UsageError

Array = NDArray[Any]

RUN_FILES = (
    "checkpoint.safetensors",
    "config.yaml",
    "metrics.jsonl",
    "state.safetensors",
    "curves.png",
)
"""What a run's folder holds."""
_ZIP_START = b"PK\x03\x04"


def read_array(path: Path) -> Array:
    """The array in a .npy file.

    Raises:
        FileError: It is missing, truncated, no .npy file, or holds Python objects.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(len(_ZIP_START)) == _ZIP_START
            file.seek(0)
            array = None if is_zip else np.load(file, allow_pickle=False)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise FileError(f"{path} cannot be read as a .npy file: {_reason(error)}") from error
    if not isinstance(array, np.ndarray):
        raise FileError(f"{path} is an archive of arrays: expected a .npy file with one array")
    return array


def check_output(path: Path, names: tuple[str, ...]) -> None:
    """Refuse a file name that cannot hold the outputs, before they are computed.

    Raises:
        UsageError: It ends in neither .npy nor .npz, or in .npy where there are several outputs.
        FileError: As `check_file`.
    """
    if path.suffix not in (".npy", ".npz"):
        raise UsageError(f"expected an output file OUT.npy or OUT.npz, got {path}")
    if path.suffix == ".npy" and len(names) > 1:
        raise UsageError(
            f"the model has {len(names)} outputs ({', '.join(names)}): expected an output file"
            f" OUT.npz, which holds each by its name, got {path}"
        )
    check_file(path)


def check_file(path: Path) -> None:
    """Refuse what no file can be written to, before long work.

    Raises:
        FileError: It is a folder, or its folder is missing or cannot be written to.
    """
    if path.is_dir():
        raise FileError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise FileError(f"cannot write {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise FileError(f"cannot write {path}: the folder {path.parent} cannot be written to")


def check_not_read(path: Path, *sources: Path) -> None:
    """Refuse to write over what a command reads.

    Args:
        path: To be written.
        sources: Files, or folders of runs.

    Raises:
        UsageError: It is one of them, or a file of a run.
    """
    for source in sources:
        read = [source]
        if source.is_dir() or source.name in RUN_FILES:
            run = source if source.is_dir() else source.parent
            read += [run / name for name in RUN_FILES]
        if any(path.exists() and other.exists() and path.samefile(other) for other in read):
            raise UsageError(f"cannot write {path}: the command reads it; choose another file")


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a .npy of the one array, or a .npz of all; whole or not at all.

    Raises:
        FileError: The file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        if path.suffix == ".npy":
            (array,) = arrays.values()
            np.save(file, array, allow_pickle=False)
        else:
            np.savez(file, **arrays)


def _reason(error: Exception) -> str:
    if "Object arrays" in str(error) or "pickled" in str(error):
        return "it is no array, or one of Python objects"
    return f"it is damaged ({error})"
