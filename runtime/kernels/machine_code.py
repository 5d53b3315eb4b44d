"""Machine code of a kernel: compiled by Numba, kept in a file, loaded into this process.

A file holds a hash of what follows it, the name of the function, and an object file. Nothing is
unpickled. The hash finds damaged files; that nobody else wrote the file is checked by
trusted_path.py.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from llvmlite import binding
from numba import cfunc
from numba.core.registry import cpu_target

from bnnkit.runtime.kernels.trusted_path import FILE_MODE, read_trusted_file

MAGIC = b"bnnkit kernel 1\n"
HASH_BYTES = hashlib.sha256().digest_size


class MachineCode(NamedTuple):
    """An object file, and the name of the C function in it."""

    function: str
    object_file: bytes


def compile_kernel(kernel: Callable[..., object], signature: Any) -> MachineCode:
    """Compile a kernel to machine code for this CPU."""
    function = cfunc(signature, error_model="numpy")(kernel)
    _, _, (object_file, _) = function._library.serialize_using_object_code()
    return MachineCode(function.native_name, object_file)


_engines: list[binding.ExecutionEngine] = []
"""They own the memory of the machine code, for as long as the process lives."""


def load(code: MachineCode) -> int:
    """Load machine code into this process.

    Returns:
        The address of the function.
    """
    cpu_target.target_context.refresh()  # makes Numba's own functions known to the linker
    target = binding.Target.from_triple(binding.get_process_triple())
    engine = binding.create_mcjit_compiler(
        binding.parse_assembly(""), target.create_target_machine()
    )
    engine.add_object_file(binding.ObjectFileRef.from_data(code.object_file))
    engine.finalize_object()
    _engines.append(engine)
    return int(engine.get_function_address(code.function))


def read_code(path: Path) -> MachineCode | None:
    """Read the machine code in a file; None if the file is missing or damaged.

    Raises:
        UntrustedError: If another user could have written it.
        OSError: If it cannot be read.
    """
    try:
        content = read_trusted_file(path)
    except FileNotFoundError:
        return None
    magic, found = content[: len(MAGIC)], content[len(MAGIC) :]
    digest, body = found[:HASH_BYTES], found[HASH_BYTES:]
    if magic != MAGIC or hashlib.sha256(body).digest() != digest:
        return None
    function, _, object_file = body.partition(b"\n")
    return MachineCode(function.decode(), object_file)


def write_code(path: Path, code: MachineCode) -> None:
    """Write machine code to a file.

    It is written in place. A process that is killed meanwhile, or a reader that comes too early,
    is no danger: the hash shows that the file is incomplete, and it is written again. So nothing
    is left behind that somebody had to remove.

    Raises:
        OSError: If it cannot be written; what was written of it is removed.
    """
    body = code.function.encode() + b"\n" + code.object_file
    path.unlink(missing_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    except FileExistsError:  # another process has just begun to write the same
        return
    try:
        with open(handle, "wb") as file:
            file.write(MAGIC + hashlib.sha256(body).digest() + body)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
