"""CPU features that decide which kernels are used.

The features are read from compiled code rather than from the CPU: the compiler knows every CPU
family, and it obeys NUMBA_CPU_NAME and NUMBA_CPU_FEATURES, with which the tests emulate other
CPUs.
"""

import re
from functools import cache
from typing import Literal

from llvmlite import binding, ir
from numba.core.registry import cpu_target

from bnnkit.runtime.kernels.compile_lock import compile_lock

BinaryForm = Literal["popcount", "lookup", "panel"]
CpuIntegerForm = Literal["pairs", "byte panels", "short panels", "floats"]


@cache
def _popcount_assembly() -> str:
    """Compile a popcount of eight words to assembly."""
    words = ir.VectorType(ir.IntType(64), 8)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(words, [words]), "popcount")
    builder = ir.IRBuilder(function.append_basic_block())
    count = ir.Function(module, function.function_type, "llvm.ctpop.v8i64")
    builder.ret(builder.call(count, function.args))
    return _assembly(module)


@cache
def _pairs_assembly() -> str:
    """Compile the addition of products of int16 pairs to int32 into assembly."""
    shorts, ints = ir.VectorType(ir.IntType(16), 32), ir.VectorType(ir.IntType(32), 16)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ints, [ints, shorts, shorts]), "pairs")
    builder = ir.IRBuilder(function.append_basic_block())
    kind = ir.FunctionType(ints, [shorts, shorts])
    multiply_add = ir.Function(module, kind, "llvm.x86.avx512.pmaddw.d.512")
    total, x, w = function.args
    builder.ret(builder.add(total, builder.call(multiply_add, [x, w])))
    return _assembly(module)


@cache
def _quads_assembly() -> str:
    """Compile the sum of products of bytes into assembly."""
    octets, ints = ir.VectorType(ir.IntType(8), 16), ir.VectorType(ir.IntType(32), 16)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.IntType(32), [octets, octets]), "quads")
    builder = ir.IRBuilder(function.append_basic_block())
    x, w = (builder.zext(argument, ints) for argument in function.args)
    total = ir.Function(
        module, ir.FunctionType(ir.IntType(32), [ints]), "llvm.vector.reduce.add.v16i32"
    )
    builder.ret(builder.call(total, [builder.mul(x, w)]))
    return _assembly(module)


def _assembly(module: ir.Module) -> str:
    with compile_lock:
        codegen = cpu_target.target_context.codegen()
        machine = codegen._tm  # Numba has no public accessor for its target machine
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        return str(machine.emit_assembly(binding.parse_assembly(str(module))))


def binary_form() -> BinaryForm:
    """Return the fastest form of binary multiplication on this CPU.

    Returns:
        "popcount" if the CPU counts the bits of a vector in one instruction (AVX-512 with
        VPOPCNTDQ), or has no wide table lookup (old x86). "lookup" on AVX2, and on AVX-512 without
        VPOPCNTDQ, where a popcount takes two lookups and six more instructions. "panel" if the CPU
        counts the bits of every byte of a vector (AArch64).
    """
    if is_aarch64():
        return "panel"
    is_wide_lookup = re.search(r"vpshufb.*[yz]mm", _popcount_assembly())
    return "lookup" if is_wide_lookup else "popcount"


def integer_form() -> CpuIntegerForm:
    """Return the fastest form of products of 8-bit pixels and int16 weights on this CPU."""
    if is_aarch64():
        return "byte panels" if has_byte_dot_product() else "short panels"
    return "pairs" if adds_pairs() else "floats"


def has_512_bits() -> bool:
    """Whether the CPU has 32 vector registers of 512 bits, rather than 16 narrower ones."""
    return "zmm" in _popcount_assembly()


def adds_pairs() -> bool:
    """Whether one instruction multiplies int16 pairs and accumulates the sums (AVX-512 VNNI)."""
    return has_512_bits() and "vpdpwssd" in _pairs_assembly()


@cache
def is_aarch64() -> bool:
    """Whether Numba compiles for AArch64, whose CPUs all have 32 vector registers of 128 bits."""
    with compile_lock:  # else a forked child may wait for LLVM's lock, held by a lost thread
        triple: str = cpu_target.target_context.codegen()._tm.triple  # no public accessor
    return triple.startswith(("aarch64", "arm64"))


def has_byte_dot_product() -> bool:
    """Whether one instruction adds four products of bytes to 32 bits (AArch64's udot, sdot)."""
    return bool(re.search(r"\budot\b", _quads_assembly()))
