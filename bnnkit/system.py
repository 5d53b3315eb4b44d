"""The error on a system that bnnkit does not support."""

import platform
import sys
from types import TracebackType
from typing import NoReturn


class UnsupportedSystemError(ImportError):
    """bnnkit cannot be imported on this system. Python prints it as one line."""


def refuse_32_bits() -> NoReturn:
    """Refuse to be imported.

    Raises:
        UnsupportedSystemError: Always.
    """
    sys.excepthook = _print_line
    machine = platform.machine()
    if machine == "aarch64":
        cause = "this Python has 32 bits on a 64-bit kernel: install a 64-bit system"
    else:
        cause = f"this is a 32-bit Python ({machine}): install a 64-bit system"
    raise UnsupportedSystemError(
        f"bnnkit needs 64-bit Python, {cause}, such as Raspberry Pi OS (64-bit); Numba, which"
        " compiles its kernels, has no packages for 32 bits (docs/boards.md)"
    )


def _print_line(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if kind is UnsupportedSystemError:
        sys.stderr.write(f"bnnkit: {error}\n")
    else:
        sys.__excepthook__(kind, error, trace)
