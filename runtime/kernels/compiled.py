"""Machine code of kernels: compiled when first needed, kept on disk for the next process.

The folder's name is made of everything that the code depends on: the CPU and its features, the
versions of Numba and LLVM, and the sources of the kernels. Each file has its checksum beside it; a
file without one, or with a wrong one, is removed and made again. Where no folder can be written,
nothing is kept.
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
"""Environment variable that names the folder to keep machine code in."""
_lock = threading.Lock()


def cache_folder() -> Path:
    """Where the machine code for this CPU is kept."""
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
    for path in sorted([*sources.glob("*.py"), sources.parent / "cpu.py"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def compiled(kernel: Callable[..., object], signature):
    """A kernel as a C function; its attribute `address` is where the machine code lies.

    Args:
        kernel: A function that Numba can compile, with a name of its own.
        signature: Its types.
    """
    with _lock:
        folder = cache_folder() / kernel.__name__
        try:
            return _from_disk(kernel, signature, folder)
        except (OSError, FileError):  # no folder, no right to write, no space: nothing is kept
            return cfunc(signature, error_model="numpy")(kernel)


def _from_disk(kernel, signature, folder):
    """The kernel from a folder where it is, or will be, kept."""
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
    """Leave only files whose checksums are right, or none: an index is useless without code."""
    files = _files(folder)
    if not all(_is_trusted(path) for path in files):
        for path in files:
            path.unlink(missing_ok=True)
            _checksum_file(path).unlink(missing_ok=True)


def _is_trusted(path: Path) -> bool:
    try:
        return _checksum_file(path).read_text() == _checksum(path)
    except OSError:  # one of the two is not there
        return False


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_checksums(folder: Path) -> None:
    for path in _files(folder):
        if not _is_trusted(path):
            write_text(_checksum_file(path), _checksum(path))
