"""Atomic output files: written to a temporary file in the same folder, then renamed.

The new file has the mode of the file that it replaces, or what the umask leaves. Its content is
on the disk before it takes its name. A symbolic link stays, and its target is replaced. A hard
link is not followed: the other names keep the former content, because a file that is changed in
place is half-written for a while.

A process that is killed leaves its temporary file behind. The next write to the same path removes
it: the writer holds a lock on its temporary file, which the kernel releases when it ends.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from bnnkit.errors import FileError
from bnnkit.files.file_errors import as_file_errors
from bnnkit.files.regular_file import irregular

try:
    import fcntl
except ModuleNotFoundError:  # Windows: abandoned files stay
    fcntl = None  # type: ignore[assignment]

_WRITING = {
    None,  # NumPy raises OSError without errno if a write is short
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOSPC,
    errno.EROFS,
}
_TOKEN_BYTES = 8
_LONGEST_NAME_BYTES = 255
"""What file systems allow."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; the file is renamed to `path` after the block.

    If the block raises, or the process is stopped, `path` is unchanged.

    Raises:
        FileError: If the folder is missing or not writable, the disk is full, or `path` is not a
            regular file (for example a device). Other errors of the block pass through.
    """
    with as_file_errors(path):
        path = Path(path).resolve()
        mode = _mode(path)
    if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FileError(f"cannot write {path}: {irregular(mode)}")
    with as_file_errors(path):
        _remove_abandoned(path)
        temporary, lock = _create(path)
    try:
        try:
            yield temporary
        except OSError as error:
            if not _concerns_writing(error, temporary):
                raise
            with as_file_errors(path):
                raise
        with as_file_errors(path):
            if mode is not None:
                temporary.chmod(stat.S_IMODE(mode))
            _sync(temporary)
            temporary.replace(path)
        with suppress(OSError):  # not every file system can sync a folder
            _sync(path.parent)
    finally:
        with suppress(OSError):  # don't hide an earlier error
            temporary.unlink()
        os.close(lock)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file atomically."""
    write_bytes(path, content.encode())


def _mode(path: Path) -> int | None:
    """Return the mode of a file; None if there is none."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _affixes(path: Path) -> tuple[str, str]:
    """Return what the temporary names of a file have before and after their random part."""
    suffix = path.suffix if len(os.fsencode(path.suffix)) < 32 else ""
    room = _LONGEST_NAME_BYTES - 2 * _TOKEN_BYTES - 2 - len(os.fsencode(suffix))
    return f".{os.fsdecode(os.fsencode(path.name)[:room])}.", suffix


def _create(path: Path) -> tuple[Path, int]:
    """Create a temporary file; return its path, and the descriptor that holds its lock."""
    before, after = _affixes(path)
    while True:
        temporary = path.parent / f"{before}{token_hex(_TOKEN_BYTES)}{after}"
        temporary.touch(exist_ok=False)  # unlike tempfile, this applies the umask
        descriptor = os.open(temporary, os.O_RDONLY)
        with suppress(BlockingIOError):
            _lock(descriptor)
            if temporary.exists():
                return temporary, descriptor
        os.close(descriptor)  # another process took it for abandoned, before the lock


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files for this path whose writers have ended."""
    before, after = _affixes(path)
    name = re.compile(rf"{re.escape(before)}[0-9a-f]{{{2 * _TOKEN_BYTES}}}{re.escape(after)}")
    with suppress(OSError):  # a folder that cannot be listed
        for found in [one for one in os.listdir(path.parent) if name.fullmatch(one)]:
            with suppress(OSError):  # it is being written, or another process removed it first
                _remove_if_unlocked(path.parent / found)


def _remove_if_unlocked(temporary: Path) -> None:
    descriptor = os.open(temporary, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if _lock(descriptor):
            temporary.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file; return whether the system can.

    Raises:
        BlockingIOError: If another process holds the lock.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return False
    return True


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _concerns_writing(error: OSError, temporary: Path) -> bool:
    """Return whether the error is about the output file; errors of open files have no name."""
    is_ours = error.filename is None or Path(error.filename) == temporary
    return is_ours and error.errno in _WRITING
