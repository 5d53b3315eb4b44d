"""Instructions of AArch64's vector unit that LLVM has no portable operation for.

On another architecture, each is computed from portable operations, so that the kernels that use
them run, and are tested, everywhere.
"""

from llvmlite import ir
from numba.core import cgutils

from bnnkit.runtime.kernels.cpu import is_aarch64
from bnnkit.runtime.kernels.vectors import I8, I16, I32, call

BYTES = ir.VectorType(I8, 16)
SHORTS = ir.VectorType(I16, 8)
INTS = ir.VectorType(I32, 4)


def add_byte_pairs(builder, value):
    """Add neighbouring bytes to 16 bits (uaddlp)."""
    if is_aarch64():
        return _call(builder, "uaddlp.v8i16.v16i8", SHORTS, value)
    wide = builder.zext(value, ir.VectorType(I16, 16))
    return builder.add(_every_second(builder, wide, 0), _every_second(builder, wide, 1))


def add_neighbours(builder, first, second):
    """Add neighbouring lanes of two vectors, those of the first before those of the second (addp).

    Lanes have 16 or 32 bits.
    """
    kind = first.type
    if is_aarch64():
        name = f"addp.v{kind.count}i{kind.element.width}"
        return _call(builder, name, kind, first, second)
    mask = ir.Constant(ir.VectorType(I32, 2 * kind.count), list(range(2 * kind.count)))
    both = builder.shuffle_vector(first, second, mask)
    return builder.add(_every_second(builder, both, 0), _every_second(builder, both, 1))


def add_quads(builder, total, value):
    """Add every four neighbouring bytes to a lane of 32 bits (udot with ones)."""
    if is_aarch64():
        ones = ir.Constant(BYTES, [1] * BYTES.count)
        return _call(builder, "udot.v4i32.v16i8", INTS, total, value, ones)
    wide = builder.zext(value, ir.VectorType(I32, 16))
    pairs = builder.add(_every_second(builder, wide, 0), _every_second(builder, wide, 1))
    quads = builder.add(_every_second(builder, pairs, 0), _every_second(builder, pairs, 1))
    return builder.add(total, quads)


def count_bits(builder, value):
    """Count the bits of every byte (cnt)."""
    return call(builder, "llvm.ctpop.v16i8", value)


def opaque(builder, value):
    """Return the value unchanged, hidden from the optimizer by an empty inline assembly.

    Otherwise LLVM would change the order of additions and run out of registers. On another
    architecture there is nothing to hide.
    """
    if not is_aarch64():
        return value
    kind = ir.FunctionType(value.type, [value.type])
    return builder.asm(kind, "", "=w,0", [value], side_effect=False)


def _call(builder, name, result, *arguments):
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.aarch64.neon.{name}")
    return builder.call(function, arguments)


def _every_second(builder, value, first):
    """Return every second lane, from lane `first` on."""
    lanes = list(range(first, value.type.count, 2))
    mask = ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)
