"""Instructions of AArch64's vector unit that LLVM has no portable operation for.

On another architecture, each is computed from portable operations, so that the kernels that use
them run, and are tested, everywhere.
"""

from llvmlite import ir
from numba.core import cgutils

from bnnkit.runtime.kernels.cpu import is_aarch64
from bnnkit.runtime.kernels.vectors import I8, I16, I32, I64, call

BYTES = ir.VectorType(I8, 16)
SHORTS = ir.VectorType(I16, 8)
INTS = ir.VectorType(I32, 4)
PAIR = ir.VectorType(I32, 2)


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


def add_signed_quads(builder, total, x, w):
    """Add the products of every four neighbouring signed bytes to a lane of 32 bits (sdot)."""
    if is_aarch64():
        return _call(builder, "sdot.v4i32.v16i8", INTS, total, w, x)
    wide = ir.VectorType(I32, 16)
    products = builder.mul(builder.sext(x, wide), builder.sext(w, wide))
    pairs = builder.add(_every_second(builder, products, 0), _every_second(builder, products, 1))
    quads = builder.add(_every_second(builder, pairs, 0), _every_second(builder, pairs, 1))
    return builder.add(total, quads)


def add_short_products(builder, total, x, w):
    """Add the products of four signed 16-bit lanes to 32 bits (smlal)."""
    if is_aarch64():
        return builder.add(total, _call(builder, "smull.v4i32", INTS, w, x))
    return builder.add(total, builder.mul(builder.sext(x, INTS), builder.sext(w, INTS)))


def multiply_words(builder, x, number):
    """Multiply unsigned lanes of 32 bits by a number (umull, umull2).

    Returns:
        The upper and the lower 32 bits of the products.
    """
    both = [
        builder.bitcast(_wide_products(builder, x, number, lanes), INTS)
        for lanes in ([0, 1], [2, 3])
    ]
    halves = [
        ir.Constant(ir.VectorType(I32, 4), [first, first + 2, first + 4, first + 6])
        for first in (1, 0)
    ]
    return [builder.shuffle_vector(*both, mask) for mask in halves]


def _wide_products(builder, x, number, lanes):
    """Multiply two lanes; the products have 64 bits."""
    mask = ir.Constant(PAIR, lanes)
    two = builder.shuffle_vector(x, ir.Constant(INTS, ir.Undefined), mask)
    wide = ir.VectorType(I64, 2)
    if is_aarch64():
        return _call(builder, "umull.v2i64", wide, two, ir.Constant(PAIR, [number] * 2))
    return builder.mul(builder.zext(two, wide), ir.Constant(wide, [number] * 2))


def count_bits(builder, value):
    """Count the bits of every byte (cnt)."""
    return call(builder, "llvm.ctpop.v16i8", value)


def insert_above(builder, low, high, bits):
    """Keep the lowest bits of each lane of 32 bits, and put another lane's above them (sli)."""
    if is_aarch64():
        return _call(builder, "vsli.v4i32", INTS, low, high, ir.Constant(I32, bits))
    kept = builder.and_(low, ir.Constant(INTS, [(1 << bits) - 1] * INTS.count))
    return builder.or_(kept, builder.shl(high, ir.Constant(INTS, [bits] * INTS.count)))


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
