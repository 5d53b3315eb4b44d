"""Kernels on real-valued maps: chains of elementwise operations, zero-point subtraction, copies.

Every operation of a chain rounds once, in the order of the graph, so that all engines give the
same bits.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.maps import get, partition_rows, put, row_at
from bnnkit.runtime.kernels.records import CentreRecord, ChainRecord, Map, MoveRecord, read
from bnnkit.runtime.kernels.signs import pack_pixel
from bnnkit.runtime.kernels.vectors import FLOATS, I32, call, load, store

REALS = np.zeros(1, np.float32)
BYTES = np.zeros(1, np.uint8)
COUNTS = np.zeros(1, np.uint64)
SHORTS = np.zeros(1, np.int16)
OCTETS = np.zeros(1, np.int8)
"""Arrays whose dtype selects an element type."""

CAST, ADD, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM, SLOPE = range(7)
"""Operations with one operand per channel; CAST, from int32, ignores it."""
ADD_MAP, SUBTRACT_MAP, MULTIPLY_MAP = range(7, 10)
"""Operations with a second map."""
ROUND = 10
"""Round to the nearest integer, ties to even; it has no operand."""
MOVE = 11
"""Copy the input."""
WHOLE = 2.0**23
"""From here on, every float32 is an integer."""


@intrinsic(prefer_literal=True)
def _operate(typing_context, operation, x_at, operand_at, y_at):
    """Apply one operation, a literal, to sixteen channels."""
    code = operation.literal_value

    def generate(context, builder, _signature, arguments):
        _, x_at, operand_at, y_at = arguments
        if code == CAST:
            result = builder.sitofp(load(builder, x_at, ir.VectorType(I32, 16), 4), FLOATS)
        else:
            x, operand = load(builder, x_at, FLOATS, 4), load(builder, operand_at, FLOATS, 4)
            result = _combine(builder, code, x, operand)
        store(builder, result, y_at, 4)
        return context.get_dummy_value()

    return types.void(operation, types.int64, types.int64, types.int64), generate


def _combine(builder, code, x, operand):
    if code == MOVE:
        return x
    if code == ROUND:
        return _rounded(builder, x)
    if code in (ADD, ADD_MAP):
        return builder.fadd(x, operand)
    if code == SUBTRACT_MAP:
        return builder.fsub(x, operand)
    if code in (MULTIPLY, MULTIPLY_MAP):
        return builder.fmul(x, operand)
    if code == DIVIDE:
        return builder.fdiv(x, operand)
    if code == SLOPE:
        negative = builder.fcmp_ordered("<", x, ir.Constant(FLOATS, [0.0] * 16))
        return builder.select(negative, builder.fmul(x, operand), x)
    # Unordered, so that a NaN stays NaN.
    stays = builder.fcmp_unordered(">" if code == MAXIMUM else "<", x, operand)
    return builder.select(stays, x, operand)


def _rounded(builder, x):
    """Round to the nearest integer, ties to even.

    Adding 2^23 to the absolute value leaves no fraction bits, so the addition itself rounds.
    """
    whole = ir.Constant(FLOATS, [WHOLE] * 16)
    size = call(builder, "llvm.fabs.v16f32", x)
    rounded = builder.fsub(builder.fadd(size, whole), whole)
    is_small = builder.fcmp_ordered("<", size, whole)
    signed = call(builder, "llvm.copysign.v16f32", rounded, x)
    return builder.select(is_small, signed, x)


@njit(error_model="numpy")
def _apply(code, x_at, operand_at, y_at, channels):
    """Apply one operation to all channels of a pixel; operands are padded to whole vectors."""
    for at in range(0, channels * 4, 64):
        x, operand, y = x_at + at, operand_at + at, y_at + at
        if code == CAST:
            _operate(CAST, x, operand, y)
        elif code in (ADD, ADD_MAP):
            _operate(ADD, x, operand, y)
        elif code == SUBTRACT_MAP:
            _operate(SUBTRACT_MAP, x, operand, y)
        elif code in (MULTIPLY, MULTIPLY_MAP):
            _operate(MULTIPLY, x, operand, y)
        elif code == DIVIDE:
            _operate(DIVIDE, x, operand, y)
        elif code == SLOPE:
            _operate(SLOPE, x, operand, y)
        elif code == ROUND:
            _operate(ROUND, x, x, y)
        elif code == MAXIMUM:
            _operate(MAXIMUM, x, operand, y)
        else:
            _operate(MINIMUM, x, operand, y)


def chain(at, thread, threads):
    """Apply a chain of operations; `at` is a ChainRecord.

    The first operation reads x and writes y, the others work on y in place.
    """
    c = read(ChainRecord, at)
    x, y = read(Map, c.x), read(Map, c.y)
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        x_row, y_row = row_at(x, row), row_at(y, row)
        for index in range(c.count):
            code = get(COUNTS, c.operations + index * 16)
            operand = np.int64(get(COUNTS, c.operations + index * 16 + 8))
            if code in (ADD_MAP, SUBTRACT_MAP, MULTIPLY_MAP):
                m = read(Map, operand)
                operand, step = row_at(m, row), m.pixel
            else:
                step = 0
            for column in range(x.columns):
                out = y_row + column * y.pixel
                source = out if index else x_row + column * x.pixel
                _apply(code, source, operand + column * step, out, x.depth)
        if c.signs:
            signs = read(Map, c.signs)
            for column in range(x.columns):
                bits = row_at(signs, row) + column * signs.pixel
                pack_pixel(REALS, y_row + column * y.pixel, c.zeros, bits, x.depth)


@njit(error_model="numpy")
def _centre(kind, at, thread, threads):
    """Subtract zero points from an image (N, C, H, W) and write NHWC; `at` is a CentreRecord."""
    c = read(CentreRecord, at)
    x, y = read(Map, c.x), read(Map, c.y)
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        x_at, y_at = row_at(x, row), row_at(y, row)
        for channel in range(x.depth):
            zero = np.int64(get(REALS, c.zero_point + channel * 4))
            for column in range(x.columns):
                pixel = np.int64(get(BYTES, x_at + channel * c.channel + column))
                put(kind, y_at + column * y.pixel + channel * kind.itemsize, pixel - zero)


def centre_floats(at, thread, threads):
    """Subtract zero points and write float32; `at` is a CentreRecord."""
    _centre(REALS, at, thread, threads)


def centre_shorts(at, thread, threads):
    """Subtract zero points and write int16; `at` is a CentreRecord."""
    _centre(SHORTS, at, thread, threads)


def centre_octets(at, thread, threads):
    """Subtract zero points, of 128, and write int8; `at` is a CentreRecord."""
    _centre(OCTETS, at, thread, threads)


def copy_reals(at, thread, threads):
    """Copy a float32 map; `at` is a MoveRecord."""
    move = read(MoveRecord, at)
    x, y = read(Map, move.x), read(Map, move.y)
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        x_row, y_row = row_at(x, row), row_at(y, row)
        for column in range(x.columns):
            _copy_pixel(x_row + column * x.pixel, y_row + column * y.pixel, x.depth)


@njit(error_model="numpy")
def _copy_pixel(x_at, y_at, channels):
    whole = channels // 16 * 64
    for at in range(0, whole, 64):
        _operate(MOVE, x_at + at, x_at + at, y_at + at)
    for at in range(whole, channels * 4, 4):
        put(REALS, y_at + at, get(REALS, x_at + at))
