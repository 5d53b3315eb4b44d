"""Output files that are either whole or not there: written beside, then renamed."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from bnnkit.errors import FileError

_WRITING = {
    None,  # how NumPy says that fewer bytes were written than it gave
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOSPC,
    errno.EROFS,
}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what the block writes there becomes `path` at its end.

    If the block raises, or the process is stopped, `path` is what it was before. Where it is a
    link, what it points to is replaced.

    Raises:
        FileError: The folder is missing, is not writable, or the disk is full; or `path` is a
            device or the like. Any other error of the block is not changed.
    """
    path = Path(path).resolve()
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileError(f"cannot write {path}: it is no regular file")
    temporary = path.parent / f".{path.name}.{token_hex(8)}{path.suffix}"
    try:
        with _naming(path):
            temporary.touch(exist_ok=False)  # the kernel applies the umask, as to any new file
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
        with suppress(OSError):  # what went wrong before says more
            temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, or leave the old one."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a whole UTF-8 file, or leave the old one."""
    write_bytes(path, content.encode())


def _concerns_writing(error: OSError, temporary: Path) -> bool:
    """Whether it is about the file that is written: its name, or none as it was open."""
    is_ours = error.filename is None or Path(error.filename) == temporary
    return is_ours and error.errno in _WRITING


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say of which file the system's error is."""
    try:
        yield
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
