"""Kernels that pack, unpack, copy and pool signs, row by row."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.maps import get, partition_rows, put, row_at
from bnnkit.runtime.kernels.records import (
    AlignRecord,
    JoinRecord,
    Map,
    MoveRecord,
    PackRecord,
    PoolRecord,
    read,
)
from bnnkit.runtime.kernels.vectors import F32, I8, I32, load, store

REALS = np.zeros(1, np.float32)
SUMS = np.zeros(1, np.int32)
BYTES = np.zeros(1, np.uint8)
WORDS = np.zeros(1, np.uint64)
"""Arrays whose dtype selects an element type."""


@intrinsic
def _below(typing_context, kind, value_at, threshold_at):
    """Compare eight float32 or int32 values with their thresholds.

    Bit i is set unless value >= threshold, so it is set for NaN.
    """
    is_float = kind.dtype == types.float32
    vector = ir.VectorType(F32 if is_float else I32, 8)

    def generate(context, builder, _signature, arguments):
        value = load(builder, arguments[1], vector, 4)
        threshold = load(builder, arguments[2], vector, 4)
        compare = builder.fcmp_unordered if is_float else builder.icmp_signed
        return builder.bitcast(compare("<", value, threshold), I8)

    return types.uint8(kind, types.int64, types.int64), generate


@njit(error_model="numpy")
def pack_pixel(kind, value_at, threshold_at, y_at, channels):
    """Pack one pixel: set a bit (-1) where a channel is below its threshold or NaN.

    Values and thresholds are padded to 8 channels.
    """
    for byte in range((channels + 7) // 8):
        bits = _below(kind, value_at + byte * 32, threshold_at + byte * 32)
        if channels - byte * 8 < 8:
            bits &= (1 << (channels - byte * 8)) - 1  # padding stays +1
        put(BYTES, y_at + byte, bits)


@njit(error_model="numpy")
def _pack(kind, at, thread, threads):
    p = read(PackRecord, at)
    x, y = read(Map, p.x), read(Map, p.y)
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        x_at, y_at = row_at(x, row), row_at(y, row)
        for column in range(x.columns):
            value, out = x_at + column * x.pixel, y_at + column * y.pixel
            pack_pixel(kind, value, p.thresholds, out, x.depth)


def pack_reals(at, thread, threads):
    """Pack the signs of a float32 map; `at` is a PackRecord."""
    _pack(REALS, at, thread, threads)


def pack_sums(at, thread, threads):
    """Pack the signs of an int32 map; `at` is a PackRecord."""
    _pack(SUMS, at, thread, threads)


@intrinsic
def _unpack_byte(typing_context, bits, y_at):
    """Write the eight signs of a byte as -1.0 and +1.0."""

    def generate(context, builder, _signature, arguments):
        mask = builder.bitcast(arguments[0], ir.VectorType(ir.IntType(1), 8))
        vector = ir.VectorType(F32, 8)
        minus, plus = (ir.Constant(vector, [sign] * 8) for sign in (-1.0, 1.0))
        store(builder, builder.select(mask, minus, plus), arguments[1], 4)
        return context.get_dummy_value()

    return types.void(types.uint8, types.int64), generate


def unpack(at, thread, threads):
    """Unpack signs to float32 -1 and +1, padded to 8 channels; `at` is a MoveRecord."""
    move = read(MoveRecord, at)
    x, y = read(Map, move.x), read(Map, move.y)
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        x_at, y_at = row_at(x, row), row_at(y, row)
        for column in range(x.columns):
            for byte in range((x.depth + 7) // 8):
                bits = get(BYTES, x_at + column * x.pixel + byte)
                _unpack_byte(bits, y_at + column * y.pixel + byte * 32)


def copy_signs(at, thread, threads):
    """Copy packed signs to another map; `at` is a MoveRecord."""
    move = read(MoveRecord, at)
    x, y = read(Map, move.x), read(Map, move.y)
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        x_at, y_at = row_at(x, row), row_at(y, row)
        for column in range(x.columns):
            for word in range((x.depth + 63) // 64):
                value = get(WORDS, x_at + column * x.pixel + word * 8)
                put(WORDS, y_at + column * y.pixel + word * 8, value)


def max_pool(at, thread, threads):
    """Max-pool packed signs, with windows clipped at the border; `at` is a PoolRecord.

    The maximum is -1 only where the whole window is -1, so it is the AND of the words.
    """
    p = read(PoolRecord, at)
    x, y = read(Map, p.x), read(Map, p.y)
    first, last = partition_rows(y, thread, threads)
    for row in range(first, last):
        image = x.data + row // y.rows * x.image
        y_at = row_at(y, row)
        for column in range(y.columns):
            for word in range((x.depth + 63) // 64):
                common = np.uint64(0xFFFFFFFFFFFFFFFF)
                for ky in range(p.height):
                    line = row % y.rows * p.down - p.top + ky * p.row_step
                    if 0 <= line < x.rows:
                        for kx in range(p.width):
                            at_x = column * p.right - p.left + kx * p.column_step
                            if 0 <= at_x < x.columns:
                                at_word = image + line * x.row + at_x * x.pixel + word * 8
                                common &= get(WORDS, at_word)
                put(WORDS, y_at + column * y.pixel + word * 8, common)


@njit(error_model="numpy")
def bits_from(x_at, bit, words):
    """Return 64 bits of a pixel of `words` words, starting at a bit; zeros past its end."""
    word, shift = bit >> 6, np.uint64(bit & 63)
    bits = get(WORDS, x_at + word * 8) >> shift
    if shift and word + 1 < words:
        bits |= get(WORDS, x_at + word * 8 + 8) << (np.uint64(64) - shift)
    return bits


def align_groups(at, thread, threads):
    """Copy packed signs so that each group starts at a word; `at` is an AlignRecord."""
    a = read(AlignRecord, at)
    x, y = read(Map, a.x), read(Map, a.y)
    channels, words = x.depth // a.groups, (x.depth + 63) // 64
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        for column in range(x.columns):
            x_at = row_at(x, row) + column * x.pixel
            y_at = row_at(y, row) + column * y.pixel
            for group in range(a.groups):
                for start in range(0, channels, 64):
                    bits = bits_from(x_at, group * channels + start, words)
                    if channels - start < 64:
                        bits &= (np.uint64(1) << np.uint64(channels - start)) - np.uint64(1)
                    put(WORDS, y_at, bits)
                    y_at += 8


@njit(error_model="numpy")
def _replace_bits(at, bits, mask):
    """Replace the bits of a word that are set in a mask."""
    put(WORDS, at, (get(WORDS, at) & ~mask) | bits)


def join_signs(at, thread, threads):
    """Copy packed signs between channels that words already hold; `at` is a JoinRecord."""
    join = read(JoinRecord, at)
    x, y = read(Map, join.x), read(Map, join.y)
    shift, rest = np.uint64(join.bit), np.uint64(64 - join.bit)
    words = (join.first + x.depth + 63) // 64
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        x_at, y_at = row_at(x, row), row_at(y, row)
        for column in range(x.columns):
            for word in range((x.depth + 63) // 64):
                channels = min(64, x.depth - word * 64)
                mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - channels)
                bits = bits_from(x_at + column * x.pixel, join.first + word * 64, words) & mask
                out = y_at + column * y.pixel + word * 8
                _replace_bits(out, bits << shift, mask << shift)
                if join.bit + channels > 64:
                    _replace_bits(out + 8, bits >> rest, mask >> rest)
