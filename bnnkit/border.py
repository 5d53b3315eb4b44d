"""The border to the user: whatever goes wrong inside becomes an error of bnnkit's.

A function that reads an untrusted file, or runs one, does so inside `with border(...)`. Errors of
bnnkit pass through. Any other exception becomes one, with the original as its cause
(`__cause__`), so a traceback of Python shows both. The command line prints the message only; with
BNNKIT_DEBUG=1 it prints the traceback too.
"""

import os
import signal
import traceback
from functools import partial
from pathlib import Path
from types import CodeType, TracebackType
from typing import Final

from bnnkit.errors import BnnkitError

DEBUG: Final = "BNNKIT_DEBUG"
_PACKAGE: Final = Path(__file__).parent.name
_OUT_OF_MEMORY: Final = ("OutOfMemoryError", "_ArrayMemoryError", "MemoryError")


class border:  # noqa: N801 (used as a statement: `with border(FileError, path):`)
    """Raises unexpected exceptions as errors of bnnkit, with the original as the cause.

    It is used around a block: `with border(...):`. It stands inside a function and not around its
    call, so that a wrong argument name stays Python's TypeError. Interrupts, and exceptions of the
    caller's own signal handlers, pass through.

    Args:
        kind: The class of the error.
        place: The file or the work that failed, at the beginning of the message.
    """

    __slots__ = ("_kind", "_place")

    def __init__(self, kind: type[BnnkitError], place: object) -> None:
        self._kind, self._place = kind, place

    def __enter__(self) -> None:
        """Enter the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        """Raise the error of the block as one of bnnkit's."""
        if not isinstance(error, Exception) or isinstance(error, BnnkitError):
            return
        if not _is_of_a_signal_handler(error):
            raise self._kind(f"{self._place}: {explained(error)}") from error


def explained(error: Exception) -> str:
    """Return a sentence about an exception that nobody expected."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if _is_out_of_memory(error):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    return (
        f"probably a damaged file, or a fault of bnnkit: {type(error).__name__} "
        f"in {_origin(error)}{': ' if str(error) else ''}{error}; {DEBUG}=1 shows the traceback"
    )


def is_debugging() -> bool:
    """Return whether the user asks for tracebacks."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether NumPy, torch or Python could not allocate memory."""
    names = {one.__name__ for one in type(error).__mro__}
    return bool(names.intersection(_OUT_OF_MEMORY)) or "allocate memory" in str(error)


def _origin(error: Exception) -> str:
    """Return the line of bnnkit that raised the error, or called what raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _PACKAGE in Path(frame.filename).parts]
    frame = (ours or frames)[-1]
    return f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}"


def _is_of_a_signal_handler(error: Exception) -> bool:
    """Return whether a signal handler raised the error while the block was running."""
    codes = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def _code(handler: object) -> CodeType | None:
    """Return the code of a function, method, partial or callable object; None of other values."""
    while isinstance(handler, partial):
        handler = handler.func
    if callable(handler) and not hasattr(handler, "__code__"):
        handler = handler.__call__
    code = getattr(handler, "__code__", None)
    return code if isinstance(code, CodeType) else None
