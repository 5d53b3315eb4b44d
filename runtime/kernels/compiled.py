"""Compiled kernels, with a cache of machine code on disk.

A kernel is compiled when it is first needed, and cached for later processes where a folder can be
written and trusted (cache_folder.py). Elsewhere, one warning says so.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bnnkit.runtime.kernels.apart import Stopped, run_apart
from bnnkit.runtime.kernels.cache_folder import VARIABLE, cache_folder, code_digest
from bnnkit.runtime.kernels.compile_lock import compile_lock
from bnnkit.runtime.kernels.machine_code import (
    MachineCode,
    compile_kernel,
    load,
    read_code,
    write_code,
)
from bnnkit.runtime.kernels.trusted_path import UntrustedError

__all__ = ["Announce", "announcing", "cache_folder", "compile_all", "compiled"]

Function = Callable[..., object]
Announce = Callable[[int, int], None]
"""Told before each kernel is compiled: its number from 1, and how many there are; and, at the end,
the number after the last."""

_addresses: dict[Function, int] = {}
_announce: list[Announce] = []
_is_warned = False


def compiled(kernel: Function, signature: Any) -> int:
    """Compile a kernel to a C function, or load it from the cache.

    Args:
        kernel: A function that Numba can compile. Its name must be unique among the kernels.
        signature: Its Numba types.

    Returns:
        The address of the C function.

    Raises:
        UsageError: If BNNKIT_CACHE_DIR is empty or relative.
    """
    if kernel not in _addresses:
        compile_all({kernel: signature})
    return _addresses[kernel]


def compile_all(kernels: Mapping[Function, Any]) -> None:
    """Compile several kernels with their signatures, or load them from the cache.

    Raises:
        UsageError: As `compiled`.
    """
    if any(kernel not in _addresses for kernel in kernels):
        run_apart(lambda stopped: _compile_all(kernels, stopped))


def _compile_all(kernels: Mapping[Function, Any], stopped: Stopped) -> None:
    with compile_lock:
        wanted = {kernel: kernels[kernel] for kernel in kernels if kernel not in _addresses}
        folder = _usable_folder() if wanted else None
        missing = [kernel for kernel in wanted if not _load_cached(kernel, wanted[kernel], folder)]
        for number, kernel in enumerate(missing, 1):
            if stopped():
                break
            _tell(number, len(missing))
            code = compile_kernel(kernel, wanted[kernel])
            _addresses[kernel] = load(code)
            if folder is not None:
                _store(_file(folder, kernel, wanted[kernel]), code)
        if missing:
            _tell(len(missing) + 1, len(missing))


def _tell(number: int, total: int) -> None:
    for announce in _announce:
        announce(number, total)


@contextmanager
def announcing(announce: Announce) -> Iterator[None]:
    """Call a function before each kernel that is compiled within the block."""
    _announce.append(announce)
    try:
        yield
    finally:
        _announce.remove(announce)


def _load_cached(kernel: Function, signature: Any, folder: Path | None) -> bool:
    """Load a kernel from the cache; return whether it was there and can be trusted."""
    try:
        code = None if folder is None else read_code(_file(folder, kernel, signature))
    except (OSError, UntrustedError):  # it is replaced; `_store` warns if that fails
        return False
    if code is None:
        return False
    _addresses[kernel] = load(code)
    return True


def _file(folder: Path, kernel: Function, signature: Any) -> Path:
    """Return the path of a kernel's machine code."""
    digest = hashlib.sha256(code_digest(kernel.__code__) + str(signature).encode())
    return folder / f"{kernel.__name__}-{digest.hexdigest()[:8]}.kernel"


def _usable_folder() -> Path | None:
    """Return the cache folder; None if it cannot be used."""
    try:
        return cache_folder()
    except UntrustedError as error:
        _warn_once(str(error))
    except OSError as error:
        _warn_once(f"cannot use {error.filename}: {error.strerror}")
    return None


def _store(path: Path, code: MachineCode) -> None:
    try:
        write_code(path, code)
    except OSError as error:
        _warn_once(f"cannot write {path}: {error.strerror}")


def _warn_once(reason: str) -> None:
    """Warn, once in a process, that compiled kernels are not kept."""
    global _is_warned
    if not _is_warned:
        _is_warned = True
        warnings.warn(
            f"every process compiles its kernels again, which takes about 10 s: {reason};"
            f" set {VARIABLE} to a folder that only you can write",
            RuntimeWarning,
            stacklevel=2,
        )
