"""Kernels of probabilities: the softmax of rows, sigmoids, and exponentials.

They give the bits of `bnnkit.artifact.format.probabilities`, which explains each step.
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.artifact.format.probabilities import (
    COEFFICIENTS,
    LARGEST,
    LN2_HIGH,
    LN2_LOW,
    LOG2_E,
    MANTISSA_BITS,
    ROUNDER,
    SMALLEST,
)
from bnnkit.runtime.kernels.compiled import compiled
from bnnkit.runtime.kernels.maps import get, partition_rows, put, row_at
from bnnkit.runtime.kernels.program import as_ctypes
from bnnkit.runtime.kernels.reals import REALS
from bnnkit.runtime.kernels.records import Map, MoveRecord, read
from bnnkit.runtime.kernels.vectors import (
    F32,
    FLOATS,
    I32,
    I64,
    broadcast,
    constant,
    load,
    part,
    store,
)

LANES = FLOATS.count
BLOCK = 4096
"""Numbers that one pass works on, so that they stay in the cache."""
SIGNATURE = types.void(*[types.int64] * 4)


def _constant(kind, number):
    """A constant of a type: a vector whose lanes are all equal, or a scalar."""
    return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)


def _exponential(builder, x):
    """Emit exp(x) of a float32 or of each lane of a vector."""
    kind = x.type
    integer = ir.VectorType(I32, kind.count) if isinstance(kind, ir.VectorType) else I32

    def number(value):
        return _constant(kind, float(value))

    shifted = builder.fadd(builder.fmul(x, number(LOG2_E)), number(ROUNDER))
    n = builder.fsub(shifted, number(ROUNDER))
    r = builder.fsub(x, builder.fmul(n, number(LN2_HIGH)))
    r = builder.fsub(r, builder.fmul(n, number(LN2_LOW)))
    power = number(COEFFICIENTS[0])
    for coefficient in COEFFICIENTS[1:]:
        power = builder.fadd(builder.fmul(power, r), number(coefficient))
    power = builder.fadd(builder.fmul(power, builder.fmul(r, r)), r)
    power = builder.fadd(power, number(1))
    exponent = builder.shl(builder.bitcast(shifted, integer), _constant(integer, MANTISSA_BITS))
    bits = builder.add(builder.bitcast(power, integer), exponent)
    result = builder.bitcast(bits, kind)
    for compare, limit, beyond in (("<", SMALLEST, 0), (">", LARGEST, np.inf)):
        is_beyond = builder.fcmp_ordered(compare, x, number(limit))
        result = builder.select(is_beyond, number(beyond), result)
    return builder.select(builder.fcmp_unordered("uno", x, x), x, result)


def _sigmoid(builder, x):
    """Emit 1 / (1 + exp(-x)), without overflow, of a float32 or of each lane of a vector."""
    one = _constant(x.type, 1.0)
    is_negative = builder.fcmp_ordered("<", x, _constant(x.type, 0.0))
    power = _exponential(builder, builder.select(is_negative, x, builder.fneg(x)))
    return builder.fdiv(builder.select(is_negative, power, one), builder.fadd(one, power))


def _emit(operate, kind, operands=()):
    """Return the types and the generator of code that reads at an address and writes at another.

    Args:
        operate: Emits the result from the numbers at the address, and the operands.
        kind: The type of the numbers: a vector or a scalar.
        operands: The Numba types of the operands, which are float32.
    """

    def generate(context, builder, _signature, arguments):
        x_at, y_at, *rest = arguments
        if isinstance(kind, ir.VectorType):
            rest = [broadcast(builder, operand, kind) for operand in rest]
        store(builder, operate(builder, load(builder, x_at, kind, 4), *rest), y_at, 4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, *operands), generate


@intrinsic
def _exponential_of_vector(typing_context, x_at, y_at):
    """Compute exp of sixteen numbers."""
    return _emit(_exponential, FLOATS)


@intrinsic
def _exponential_of_one(typing_context, x_at, y_at):
    """Compute exp of one number."""
    return _emit(_exponential, F32)


@intrinsic
def _sigmoid_of_vector(typing_context, x_at, y_at):
    """Compute the sigmoid of sixteen numbers."""
    return _emit(_sigmoid, FLOATS)


@intrinsic
def _sigmoid_of_one(typing_context, x_at, y_at):
    """Compute the sigmoid of one number."""
    return _emit(_sigmoid, F32)


@intrinsic
def _subtract(typing_context, x_at, y_at, number):
    """Subtract a number from sixteen."""
    return _emit(ir.IRBuilder.fsub, FLOATS, [types.float32])


@intrinsic
def _divide(typing_context, x_at, y_at, number):
    """Divide sixteen numbers by another."""
    return _emit(ir.IRBuilder.fdiv, FLOATS, [types.float32])


@intrinsic
def _largest_of_vectors(typing_context, x_at, vectors):
    """Return the largest of sixteen or more numbers, a whole number of vectors."""

    def generate(context, builder, _signature, arguments):
        x_at, vectors = arguments
        slot = cgutils.alloca_once_value(builder, load(builder, x_at, FLOATS, 4))
        with cgutils.for_range(builder, vectors, intp=I64) as loop:
            place = builder.add(x_at, builder.mul(loop.index, constant(4 * LANES)))
            largest = _larger_of(builder, builder.load(slot), load(builder, place, FLOATS, 4))
            builder.store(largest, slot)
        return _largest_lane(builder, builder.load(slot))

    return types.float32(types.int64, types.int64), generate


def _larger_of(builder, x, y):
    return builder.select(builder.fcmp_ordered(">", y, x), y, x)


def _largest_lane(builder, lanes):
    """Emit the largest lane of a vector, by halves."""
    while lanes.type.count > 1:
        half = lanes.type.count // 2
        low, high = (part(builder, lanes, start, half) for start in (0, half))
        lanes = _larger_of(builder, low, high)
    return builder.extract_element(lanes, ir.Constant(I32, 0))


@intrinsic
def _sums_of_fours(typing_context, y_at, fours):
    """Return the sums of every fourth number, in float64, of 4 * fours numbers."""

    def generate(context, builder, _signature, arguments):
        y_at, fours = arguments
        wide = ir.VectorType(ir.DoubleType(), 4)
        slot = cgutils.alloca_once_value(builder, ir.Constant(wide, [0.0] * 4))
        with cgutils.for_range(builder, fours, intp=I64) as loop:
            place = builder.add(y_at, builder.mul(loop.index, constant(16)))
            numbers = builder.fpext(load(builder, place, ir.VectorType(F32, 4), 4), wide)
            builder.store(builder.fadd(builder.load(slot), numbers), slot)
        sums = builder.load(slot)
        lanes = [builder.extract_element(sums, ir.Constant(I32, i)) for i in range(4)]
        return cgutils.pack_array(builder, lanes)

    return types.UniTuple(types.float64, 4)(types.int64, types.int64), generate


@njit(error_model="numpy")
def _exponentials(x, y, count):
    whole = count // LANES * LANES
    for at in range(0, whole * 4, LANES * 4):
        _exponential_of_vector(x + at, y + at)
    for at in range(whole * 4, count * 4, 4):
        _exponential_of_one(x + at, y + at)


@njit(error_model="numpy")
def _larger(largest, at):
    score = get(REALS, at)
    return score if score > largest else largest


@njit(error_model="numpy")
def _largest(x, columns):
    """Return the largest number of a row."""
    vectors = columns // LANES
    largest = _largest_of_vectors(x, vectors) if vectors else get(REALS, x)
    for at in range(x + vectors * LANES * 4, x + columns * 4, 4):
        largest = _larger(largest, at)
    return largest


@njit(error_model="numpy")
def _sum(y, columns):
    """Return the sum of a row: the four sums of every fourth number, in float64."""
    whole = columns // 4 * 4
    a, b, c, d = _sums_of_fours(y, whole // 4)
    at, rest = y + whole * 4, columns - whole
    a += get(REALS, at) if rest > 0 else np.float32(0)
    b += get(REALS, at + 4) if rest > 1 else np.float32(0)
    c += get(REALS, at + 8) if rest > 2 else np.float32(0)
    return np.float32((a + b) + (c + d))


@njit(error_model="numpy")
def _subtract_largest(x, y, columns):
    largest = _largest(x, columns)
    whole = columns // LANES * LANES
    for at in range(0, whole * 4, LANES * 4):
        _subtract(x + at, y + at, largest)
    for at in range(whole * 4, columns * 4, 4):
        put(REALS, y + at, get(REALS, x + at) - largest)


@njit(error_model="numpy")
def _divide_by_sum(y, columns):
    total = _sum(y, columns)
    whole = columns // LANES * LANES
    for at in range(y, y + whole * 4, LANES * 4):
        _divide(at, at, total)
    for at in range(y + whole * 4, y + columns * 4, 4):
        put(REALS, at, get(REALS, at) / total)


def softmax_rows(x, y, rows, columns):
    """Compute the softmax of each row of a float32 matrix."""
    block = max(1, BLOCK // columns)
    for first in range(0, rows, block):
        last = min(first + block, rows)
        for row in range(first, last):
            _subtract_largest(x + row * columns * 4, y + row * columns * 4, columns)
        at = y + first * columns * 4
        _exponentials(at, at, (last - first) * columns)
        for row in range(first, last):
            _divide_by_sum(y + row * columns * 4, columns)


def softmax_pixels(at, thread, threads):
    """Compute the softmax over the channels of each pixel of a map; `at` is a MoveRecord."""
    move = read(MoveRecord, at)
    x, y = read(Map, move.x), read(Map, move.y)
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        x_at, y_at = row_at(x, row), row_at(y, row)
        for _ in range(x.columns):
            _subtract_largest(x_at, y_at, x.depth)
            _exponentials(y_at, y_at, x.depth)
            _divide_by_sum(y_at, x.depth)
            x_at += x.pixel
            y_at += y.pixel


def exponentials(x, y, rows, columns):
    """Compute the exponential of each number of a float32 matrix."""
    _exponentials(x, y, rows * columns)


def sigmoids(x, y, rows, columns):
    """Compute the sigmoid of each number of a float32 matrix."""
    whole = rows * columns // LANES * LANES
    for at in range(0, whole * 4, LANES * 4):
        _sigmoid_of_vector(x + at, y + at)
    for at in range(whole * 4, rows * columns * 4, 4):
        _sigmoid_of_one(x + at, y + at)


KERNELS = (softmax_rows, exponentials, sigmoids)
"""Kernels (x, y, rows, columns) from the matrix at the address x to that at y."""


@cache
def as_function(kernel):
    """Return one of KERNELS as a ctypes function, which releases the GIL while it runs."""
    return as_ctypes(compiled(kernel, SIGNATURE), len(SIGNATURE.args))
