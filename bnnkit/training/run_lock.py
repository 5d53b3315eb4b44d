"""One process at a time in the folder of a run."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bnnkit.errors import FileError

_NAME = ".lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, which is made where it is missing.

    The kernel gives the lock back when the process ends, in whatever way. Where nothing was
    written, a folder that was made here is removed.

    Raises:
        FileError: Another process holds it, or it cannot be made or locked.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make {folder}: {error.strerror or error}") from error
    path = folder / _NAME
    descriptor = _locked(path, folder)
    try:
        yield
    finally:
        with suppress(OSError):  # what went wrong before says more
            path.unlink()
        os.close(descriptor)
        if is_new:
            with suppress(OSError):  # it holds a run
                folder.rmdir()


def _locked(path: Path, folder: Path) -> int:
    """An open and locked file that is the one of this name."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise FileError(f"cannot write {path}: {error.strerror or error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(descriptor, path):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise FileError(
                f"another process trains in {folder}: wait for it, or choose another folder"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise FileError(f"cannot lock {path}: {error.strerror or error}") from error
        os.close(descriptor)  # its last holder has just removed it


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
