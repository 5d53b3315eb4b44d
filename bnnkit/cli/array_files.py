"""The array files that commands read and write: .npy for one array, .npz for several."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.border import border
from bnnkit.data.npy import read_npy
from bnnkit.errors import FileError, UsageError
from bnnkit.files.atomic import replacing
from bnnkit.files.kinds import START_BYTES, kind_of
from bnnkit.files.regular_file import irregular, open_file

Array = NDArray[Any]

RUN_FILES = (
    "checkpoint.safetensors",
    "config.yaml",
    "metrics.jsonl",
    "state.safetensors",
    "curves.png",
)
"""The files in the folder of a run."""
_ZIP_START = b"PK\x03\x04"
_NPY_START = b"\x93NUMPY"


def read_array(path: Path) -> Array:
    """Read the array in a .npy file.

    Raises:
        FileError: If the file is missing, truncated, not .npy, or contains Python objects.
    """
    with open_file(path) as file:
        return read_array_from(file, os.fstat(file.fileno()).st_size, path)


def read_array_from(file: IO[bytes], size: int, name: object) -> Array:
    """Read the array in an open .npy file.

    Args:
        file: The file, at its beginning.
        size: Its size in bytes.
        name: Its path, for messages.

    Raises:
        FileError: As `read_array`.
    """
    with border(FileError, name):
        start = file.read(START_BYTES)
        if start.startswith(_ZIP_START):
            raise FileError(f"{name} is an archive of arrays: expected a .npy file with one array")
        file.seek(0)
        try:
            return read_npy(file, size)
        except (ValueError, EOFError) as error:
            raise FileError(
                f"{name} cannot be read as a .npy file: {_reason(error, start)}"
            ) from error


def check_output(path: Path, names: tuple[str, ...]) -> None:
    """Check, before long work, that a file can hold the outputs.

    Raises:
        UsageError: If the name ends in neither .npy nor .npz, or in .npy for several outputs.
        FileError: As `check_file`.
    """
    if path.suffix not in (".npy", ".npz"):
        raise UsageError(
            f"expected an output file OUT.npy or OUT.npz for arrays, OUT.csv or OUT.json for "
            f"classes, got {path}"
        )
    if path.suffix == ".npy" and len(names) > 1:
        raise UsageError(
            f"the model has {len(names)} outputs ({', '.join(names)}): expected an output file"
            f" OUT.npz, which holds each by its name, got {path}"
        )
    check_file(path)


def check_file(path: Path) -> None:
    """Check, before long work, that a file can be written.

    Raises:
        FileError: If the path is a folder, a pipe or a device, or its folder is missing or not
            writable.
    """
    if path.is_dir():
        raise FileError(f"cannot write {path}: it is a folder")
    if path.exists() and not path.is_file():
        raise FileError(f"cannot write {path}: {irregular(path.stat().st_mode)}")
    if not path.parent.is_dir():
        raise FileError(f"cannot write {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise FileError(f"cannot write {path}: the folder {path.parent} cannot be written to")


def check_not_read(path: Path, *sources: Path) -> None:
    """Check that a command does not overwrite a file that it reads.

    Args:
        path: The file to write.
        sources: The files, or folders of runs, that the command reads.

    Raises:
        UsageError: If the path is one of the sources, or a file of a run among them.
    """
    for source in sources:
        read = [source]
        if source.is_dir() or source.name in RUN_FILES:
            run = source if source.is_dir() else source.parent
            read += [run / name for name in RUN_FILES]
        if any(path.exists() and other.exists() and path.samefile(other) for other in read):
            raise UsageError(f"cannot write {path}: the command reads it; choose another file")


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write one array as .npy, or all arrays as .npz, atomically.

    Raises:
        FileError: If the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        if path.suffix == ".npy":
            (array,) = arrays.values()
            np.save(file, array, allow_pickle=False)
        else:
            _write_archive(file, arrays)


def _write_archive(file: IO[bytes], arrays: Mapping[str, Array]) -> None:
    """Write an .npz file; np.savez takes no array named as one of its own arguments."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.save(member, array, allow_pickle=False)


def _reason(error: Exception, start: bytes) -> str:
    kind = "" if start.startswith(_NPY_START) else kind_of(start)
    if kind:
        return f"it is {kind}"
    if "Object arrays" in str(error) or "pickled" in str(error):
        return "it is no array, or one of Python objects"
    return f"it is damaged ({error})"
