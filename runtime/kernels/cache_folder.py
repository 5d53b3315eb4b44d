"""Where machine code is cached: which folder, and the name of the part for this CPU.

The name is a hash of everything that the machine code depends on: the CPU and its features, the
versions of Python, Numba and LLVM, and the files of this package and of the constants that its
kernels take from elsewhere. Python's loader reads them: installs without source files, such as a
zip file, are told apart as well.
"""

import hashlib
import os
import pkgutil
import sys
from contextlib import suppress
from functools import cache
from importlib.abc import InspectLoader, ResourceLoader
from importlib.util import find_spec
from pathlib import Path
from types import CodeType

import llvmlite
import numba
from numba.core.registry import cpu_target

from bnnkit.errors import UsageError
from bnnkit.runtime.kernels.trusted_path import UntrustedError, make_trusted_folder

CONSTANTS = ("bnnkit.artifact.format.probabilities",)
"""Modules outside of this package whose numbers are compiled into kernels."""
VARIABLE = "BNNKIT_CACHE_DIR"
"""Environment variable with the path of the cache folder."""


def cache_folder() -> Path:
    """Return the folder for the machine code of this CPU; it is made where it is missing.

    This is a folder in BNNKIT_CACHE_DIR where that is set. Otherwise it lies in the user's folder
    for caches or, if that cannot be used, in the folder for temporary files.

    Raises:
        UsageError: If BNNKIT_CACHE_DIR is empty or relative.
        UntrustedError: If another user could have written the folder.
        OSError: If the folder cannot be made.
    """
    failures: list[OSError | UntrustedError] = []
    for candidate in _candidates():
        folder = candidate / "kernels" / fingerprint()
        try:
            make_trusted_folder(folder)
        except (OSError, UntrustedError) as error:
            failures.append(error)
        else:
            return folder
    raise failures[0]


def _candidates() -> list[Path]:
    if VARIABLE in os.environ:
        return [_of_variable(os.environ[VARIABLE])]
    temporary = Path(os.environ.get("TMPDIR") or "/tmp") / f"bnnkit-{os.geteuid()}"
    found = [*_home_caches(), temporary]
    return [path for path in found if path.is_absolute()] or [Path("/tmp") / temporary.name]


def _of_variable(value: str) -> Path:
    """Return an absolute path: code must not be loaded from whatever folder one happens to be in.

    Raises:
        UsageError: If it is empty or relative.
    """
    if not Path(value).is_absolute():
        raise UsageError(
            f"expected an absolute path in {VARIABLE}, got {value!r}: set the whole path of a"
            " folder, or unset the variable"
        )
    return Path(value)


def _home_caches() -> list[Path]:
    """Return the user's folder for caches; nothing if the user has no home."""
    if sys.platform != "darwin" and os.environ.get("XDG_CACHE_HOME"):
        return [Path(os.environ["XDG_CACHE_HOME"]) / "bnnkit"]
    try:
        home = Path.home()
    except RuntimeError:  # HOME is not set, and the user id is in no list of users
        return []
    caches = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return [caches / "bnnkit"]


@cache
def fingerprint() -> str:
    """Return a name for this CPU, Python, the versions of the compiler, and the kernels."""
    codegen = cpu_target.target_context.codegen()
    python = sys.implementation.cache_tag
    target = (codegen.magic_tuple(), python, numba.__version__, llvmlite.__version__)
    digest = hashlib.sha256(repr(target).encode())
    package = __name__.rpartition(".")[0]
    modules = pkgutil.iter_modules(sys.modules[package].__path__)
    for name in (*(f"{package}.{module.name}" for module in modules), *CONSTANTS):
        digest.update(_module_digest(name))
    return digest.hexdigest()[:16]


def _module_digest(name: str) -> bytes:
    """Return a hash of a module's file, or of its code where it has no file."""
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"cannot find {name}", name=name)
    if isinstance(spec.loader, ResourceLoader) and spec.origin is not None:
        with suppress(OSError):  # in one executable file with Python, the module has no file
            return hashlib.sha256(spec.loader.get_data(spec.origin)).digest()
    code = spec.loader.get_code(name) if isinstance(spec.loader, InspectLoader) else None
    return b"" if code is None else code_digest(code)


def code_digest(code: CodeType) -> bytes:
    """Return a hash of Python code that is the same in every process."""
    exceptions = getattr(code, "co_exceptiontable", b"")  # Python 3.11 and newer
    shape = (code.co_argcount, code.co_flags, code.co_names, code.co_varnames, code.co_freevars)
    digest = hashlib.sha256(repr(shape).encode() + code.co_code + exceptions)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            digest.update(code_digest(constant))
        elif isinstance(constant, frozenset):
            digest.update(repr(sorted(map(repr, constant))).encode())
        else:
            digest.update(repr(constant).encode())
    return digest.digest()
