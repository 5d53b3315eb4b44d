"""Errors in worker processes that read examples.

They come back as text, because an exception would arrive with the traceback of another process in
its message.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch.utils.data import get_worker_info

from bnnkit.errors import BnnkitError, ConfigError, FileError


@dataclass(frozen=True)
class Failure:
    """An error in a worker.

    Attributes:
        kind: The class to raise in the process that reads the batches.
        text: Its message.
    """

    kind: type[BnnkitError]
    text: str


@contextmanager
def failures(place: str) -> Iterator[list[Failure]]:
    """Turn exceptions into errors that name the place, and in a worker into a `Failure`."""
    failed: list[Failure] = []
    try:
        yield failed
    except Exception as error:
        found = _failure(place, error)
        if get_worker_info() is None:
            raise found.kind(found.text) from error
        failed.append(found)


def _failure(place: str, error: Exception) -> Failure:
    if isinstance(error, FileError | ConfigError):
        return Failure(type(error), str(error))
    if isinstance(error, BnnkitError):
        return Failure(ConfigError, f"{place}: {error}")
    return Failure(
        ConfigError,
        f"{place}: {type(error).__name__}: {error}; data.workers=0 and BNNKIT_DEBUG=1 show the "
        "traceback",
    )
