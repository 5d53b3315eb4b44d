"""Atomic output files: written to a temporary file in the same folder, then renamed."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from bnnkit.errors import FileError

_WRITING = {
    None,  # NumPy raises OSError without errno if a write is short
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOSPC,
    errno.EROFS,
}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; the file is renamed to `path` after the block.

    If the block raises, or the process is stopped, `path` is unchanged. If `path` is a symbolic
    link, its target is replaced.

    Raises:
        FileError: If the folder is missing or not writable, the disk is full, or `path` is not a
            regular file (for example a device). Other errors of the block pass through.
    """
    path = Path(path).resolve()
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileError(f"cannot write {path}: it is not a regular file")
    temporary = path.parent / f".{path.name}.{token_hex(8)}{path.suffix}"
    try:
        with _naming(path):
            temporary.touch(exist_ok=False)  # unlike tempfile, this applies the umask
        try:
            yield temporary
        except OSError as error:
            if not _concerns_writing(error, temporary):
                raise
            with _naming(path):
                raise
        with _naming(path):
            temporary.replace(path)
    finally:
        with suppress(OSError):  # don't hide an earlier error
            temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file atomically."""
    write_bytes(path, content.encode())


def _concerns_writing(error: OSError, temporary: Path) -> bool:
    """Return whether the error is about the output file; errors of open files have no name."""
    is_ours = error.filename is None or Path(error.filename) == temporary
    return is_ours and error.errno in _WRITING


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Raise system errors as FileError with the name of the file."""
    try:
        yield
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
