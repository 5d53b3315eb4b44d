"""Kernel compilation with a cache of machine code on disk.

A kernel is compiled when it is first needed and cached for later processes. The name of the cache
folder is a hash of everything that the code depends on: the CPU and its features, the versions of
Numba and LLVM, and the kernel sources. Every file has a checksum beside it. Files with a missing
or wrong checksum are deleted and compiled again. Where no folder can be written, nothing is
cached.
"""

import hashlib
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import llvmlite
import numba
from numba import cfunc
from numba.core.registry import cpu_target

from bnnkit.atomic import write_text
from bnnkit.errors import FileError

VARIABLE = "BNNKIT_CACHE_DIR"
"""Environment variable with the path of the cache folder."""
_lock = threading.Lock()


def cache_folder() -> Path:
    """Return the folder that holds the machine code for this CPU."""
    return _user_folder() / "kernels" / _fingerprint()


def _user_folder() -> Path:
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "bnnkit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnnkit"


@cache
def _fingerprint() -> str:
    codegen = cpu_target.target_context.codegen()
    target = (codegen.magic_tuple(), numba.__version__, llvmlite.__version__)
    digest = hashlib.sha256(repr(target).encode())
    sources = Path(__file__).parent
    for path in sorted(sources.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def compiled(kernel: Callable[..., object], signature):
    """Compile a kernel to a C function, or load it from the cache.

    Args:
        kernel: A function that Numba can compile. Its name must be unique: it names the cache
            entry.
        signature: Its Numba types.

    Returns:
        Numba's CFunc; its attribute `address` is the address of the machine code.
    """
    with _lock:
        folder = cache_folder() / kernel.__name__
        try:
            return _from_disk(kernel, signature, folder)
        except (OSError, FileError):  # no folder, no permission, no space: do not cache
            return cfunc(signature, error_model="numpy")(kernel)


def _from_disk(kernel, signature, folder):
    """Load the kernel from its cache folder, compiling it first where needed."""
    folder.mkdir(parents=True, exist_ok=True)
    _remove_untrusted(folder)
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        function = cfunc(signature, cache=True, error_model="numpy")(kernel)
    finally:
        numba.config.CACHE_DIR = before
    _write_checksums(folder)
    return function


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.nb?") if path.suffix in (".nbi", ".nbc")]


def _checksum_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _remove_untrusted(folder: Path) -> None:
    """Delete all files unless every checksum is right: an index is useless without its code."""
    files = _files(folder)
    if not all(_is_trusted(path) for path in files):
        for path in files:
            path.unlink(missing_ok=True)
            _checksum_file(path).unlink(missing_ok=True)


def _is_trusted(path: Path) -> bool:
    try:
        return _checksum_file(path).read_text() == _checksum(path)
    except OSError:  # the file or its checksum is missing
        return False


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_checksums(folder: Path) -> None:
    for path in _files(folder):
        if not _is_trusted(path):
            write_text(_checksum_file(path), _checksum(path))
