"""Building blocks of vector code in LLVM's language: load, store, broadcast, popcount.

Vectors are 512 bits wide; LLVM splits them where the CPU's registers are narrower.
"""

from llvmlite import ir
from numba.core import cgutils

I8 = ir.IntType(8)
I16 = ir.IntType(16)
I32 = ir.IntType(32)
I64 = ir.IntType(64)
F32 = ir.FloatType()
WORDS = ir.VectorType(I64, 8)
FLOATS = ir.VectorType(F32, 16)


def constant(number):
    """An int64."""
    return ir.Constant(I64, number)


def load(builder, address, kind, align):
    """The value of type `kind` at `address` (an int64)."""
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = align
    return value


def store(builder, value, address, align):
    """Write `value` to `address` (an int64)."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = align


def broadcast(builder, scalar, vector):
    """A vector whose lanes are all `scalar`."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(I32, 0))
    lanes = ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, nothing, lanes)


def call(builder, name, *arguments):
    """Call LLVM's intrinsic `name`, which maps vectors of one type to that type.

    llvmlite's declare_intrinsic has no names for vector types, so the mangled one is given.
    """
    kind = arguments[0].type
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(arguments)), name
    )
    return builder.call(function, arguments)
