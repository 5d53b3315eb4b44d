"""Folders of files that are written whole or not at all.

All files are written to a temporary folder first, and are on the disk before they take their
names. A new folder is there at once; in one that exists the files are renamed one after another,
and back if a rename fails. A process that is killed may leave its temporary folder, whose name
starts with a dot.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from bnnkit.errors import FileError
from bnnkit.files.file_errors import as_file_errors


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write UTF-8 files into a folder, which is made if it is missing, with those above it.

    Files of the same names are replaced, others stay. If this raises, the folder is as it was.

    Raises:
        FileError: If the folder is not writable, the disk is full, or a folder has the name of a
            file.
    """
    with as_file_errors(folder):
        folder = folder.resolve()
        made = [one for one in folder.parents if not one.exists()]
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            if folder.exists():
                _replace(folder, files)
            else:
                _create(folder, files)
        except BaseException:
            for parent in made:
                with suppress(OSError):  # another process wrote into it
                    parent.rmdir()
            raise


def _create(folder: Path, files: Mapping[str, str]) -> None:
    with _temporary(folder.parent, ".new.") as temporary:
        _write(temporary, files, folder)
        temporary.rename(folder)


def _replace(folder: Path, files: Mapping[str, str]) -> None:
    for name in files:  # before the first is written
        if (folder / name).is_dir():
            raise FileError(f"cannot write {folder / name}: expected a file, there is a folder")
    with _temporary(folder, ".new.") as temporary, _temporary(folder, ".old.") as old:
        _write(temporary, files, folder)
        done: list[str] = []
        try:
            for name in files:
                done.append(name)
                with suppress(FileNotFoundError):  # it is new
                    (folder / name).replace(old / name)
                (temporary / name).replace(folder / name)
        except BaseException:
            for name in done:
                _put_back(folder / name, old / name, temporary / name)
            raise


def _put_back(place: Path, before: Path, new: Path) -> None:
    """Undo the replacement of a file, of which a part may be done."""
    if before.exists():
        before.replace(place)
    elif not new.exists():  # it has been renamed to a place where no file was
        place.unlink()


def _write(temporary: Path, files: Mapping[str, str], folder: Path) -> None:
    """Write files; errors name the places that they are for."""
    for name, text in files.items():
        with as_file_errors(folder / name), (temporary / name).open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _temporary(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder, which is removed unless it has been renamed."""
    folder = parent / f"{prefix}{token_hex(8)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
