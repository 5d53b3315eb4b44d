"""Reading files: regular ones only, because a pipe or a device may block or never end."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from bnnkit.errors import FileError

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_file(
    path: Path | str, error: type[FileError] = FileError, *, what: str = ""
) -> BufferedReader:
    """Open a file for reading.

    Args:
        path: The file.
        error: The class of the error.
        what: What the file is, such as "the configuration", for the message.

    Raises:
        FileError: If the file cannot be opened, or is a pipe, a socket, a device or a folder.
    """
    name = f"{what} {path}".lstrip()
    try:
        # Without O_NONBLOCK, opening a pipe waits until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | _flag("O_NONBLOCK") | _flag("O_BINARY"))
    except (OSError, ValueError, TypeError) as reason:  # a null character, an object of no path
        text = getattr(reason, "strerror", None) or reason
        raise error(f"cannot read {name}: {text}") from reason
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise error(f"cannot read {name}: {irregular(mode)}")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path | str, error: type[FileError] = FileError, *, what: str = "") -> bytes:
    """Read a whole file; arguments and errors as for `open_file`."""
    with open_file(path, error, what=what) as file:
        try:
            return file.read()
        except (OSError, MemoryError) as reason:
            text = getattr(reason, "strerror", None) or str(reason) or "not enough memory"
            raise error(f"cannot read {path}: {text}") from reason


def irregular(mode: int) -> str:
    """Say what a file is, by its mode, that is not a regular file."""
    if stat.S_ISDIR(mode):
        return os.strerror(errno.EISDIR)
    kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "something else")
    return f"it is not a regular file, but {kind}"


def _flag(name: str) -> int:
    """Return a flag of `os.open`, 0 on systems that lack it."""
    return int(getattr(os, name, 0))
