"""System errors of a write as errors of bnnkit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bnnkit.errors import FileError


@contextmanager
def as_file_errors(path: Path) -> Iterator[None]:
    """Raise system errors as FileError with the name of the file or folder."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # a null character, a loop of links
        text = getattr(error, "strerror", None) or error
        raise FileError(f"cannot write {path}: {text}") from error
