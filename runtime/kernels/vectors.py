"""Helpers that emit vector code as LLVM IR: load, store, broadcast, intrinsics.

Vectors have 512 bits; LLVM splits them where registers are narrower.
"""

from llvmlite import ir
from numba.core import cgutils

I1 = ir.IntType(1)
I8 = ir.IntType(8)
I16 = ir.IntType(16)
I32 = ir.IntType(32)
I64 = ir.IntType(64)
F32 = ir.FloatType()
WORDS = ir.VectorType(I64, 8)
FLOATS = ir.VectorType(F32, 16)


def constant(number):
    """Return an int64 constant."""
    return ir.Constant(I64, number)


def load(builder, address, kind, align):
    """Load the value of type `kind` at `address`, an int64."""
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = align
    return value


def store(builder, value, address, align):
    """Store `value` at `address`, an int64."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = align


def broadcast(builder, scalar, vector):
    """Return a vector of type `vector` whose lanes all are `scalar`."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    lanes = ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, lanes)


def part(builder, vector, start, count):
    """Return some neighbouring lanes of a vector."""
    undefined = ir.Constant(vector.type, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(I32, count), list(range(start, start + count)))
    return builder.shuffle_vector(vector, undefined, lanes)


def valid_lanes(builder, at, channel):
    """Return 16 bits, set for the lanes from a channel on that are channels of the layer."""
    rest = builder.sub(at["channels"], channel)
    is_whole = builder.icmp_signed(">=", rest, constant(FLOATS.count))
    lanes = builder.select(is_whole, constant(FLOATS.count), rest)
    bits = builder.sub(builder.shl(constant(1), lanes), constant(1))
    return builder.trunc(bits, I16)


def call(builder, name, *arguments):
    """Call the LLVM intrinsic `name`, whose arguments and result have one type.

    llvmlite's declare_intrinsic cannot name vector types, so `name` is the mangled name.
    """
    kind = arguments[0].type
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(arguments)), name
    )
    return builder.call(function, arguments)
