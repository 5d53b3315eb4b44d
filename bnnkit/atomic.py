"""Output files that are either whole or not there: written beside, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bnnkit.errors import FileError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what the block writes there becomes `path` at its end.

    If the block raises, or the process is stopped, `path` is what it was before.

    Raises:
        FileError: The folder is missing, is not writable, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, or leave the old one."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a whole UTF-8 file, or leave the old one."""
    write_bytes(path, content.encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
