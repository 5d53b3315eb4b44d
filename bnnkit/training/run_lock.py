"""A lock on the folder of a run, so that only one process trains in it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from bnnkit.errors import FileError

_NAME: Final = ".lock"
_TIMEOUT_S: Final = 0.2
"""Long enough to retry if another process has just removed the lock file."""


class FolderInUseError(FileError):
    """A folder in which another process trains, or has just finished."""


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Lock the folder of a run, and create it if it is missing.

    The kernel releases the lock when the process ends, even if it is killed. A folder that was
    created here is removed again if nothing was written to it.

    Raises:
        FolderInUseError: Another process holds the lock.
        FileError: The folder cannot be created or locked.
    """
    is_new = not folder.exists()
    path = folder / _NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make {folder}: {error.strerror or error}") from error
    lock = FileLock(path)
    try:
        lock.acquire(timeout=_TIMEOUT_S, poll_interval=_TIMEOUT_S / 10)
    except Timeout as error:
        raise FolderInUseError(
            f"another process trains in {folder}: wait for it, or choose another folder"
        ) from error
    except OSError as error:
        raise FileError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # an error of the run itself is the one to report
            path.unlink()
        lock.release()
        if is_new:
            with suppress(OSError):  # the folder is not empty: it holds the run
                folder.rmdir()
