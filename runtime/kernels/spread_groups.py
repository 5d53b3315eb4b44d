"""Kernel that spreads the signs of groups to the bits of their outputs (bit_sliced.py)."""

import numpy as np
from numba import njit

from bnnkit.runtime.kernels.maps import get, partition_rows, put, row_at
from bnnkit.runtime.kernels.records import Map, SpreadRecord, read
from bnnkit.runtime.kernels.signs import bits_from

SIGNS = np.zeros(1, np.uint8)
WORDS = np.zeros(1, np.uint64)
"""Arrays whose dtype selects an element type."""


def spread_groups(at, thread, threads):
    """Spread the inputs of each group to the bits of its outputs; `at` is a SpreadRecord.

    Input k of row r of x becomes row r * inputs + k of y.
    """
    s = read(SpreadRecord, at)
    x, y = read(Map, s.x), read(Map, s.y)
    words = (x.depth + 63) // 64
    first, last = partition_rows(x, thread, threads)
    for row in range(first, last):
        x_row = row_at(x, row)
        y_row = y.data + row // x.rows * y.image + row % x.rows * s.inputs * y.row
        for column in range(x.columns):
            x_at, y_at = x_row + column * x.pixel, y_row + column * y.pixel
            if s.table:
                _spread_bytes(s, x_at, y_at, (y.depth + 63) // 64)
            elif s.inputs == s.outputs:
                for k in range(s.inputs):
                    _spread_in_place(s, x_at, words, k, y_at + k * y.row)
            else:
                _spread(s, x_at, words, y_at, y.row)


@njit(error_model="numpy")
def _spread_in_place(s, x_at, words, k, y_at):
    """Spread input k of every group of a pixel, where groups have as many outputs as inputs.

    With t the bits k of all groups, each at the start of its group of b bits, the result is
    t * (2^b - 1) = (t << b) - t, an integer of several words.
    """
    bits = np.uint64(s.inputs)
    before, borrow = np.uint64(0), np.uint64(0)
    for word in range(words):
        t = bits_from(x_at, word * 64 + k, words) & get(WORDS, s.starts + word * 8)
        shifted = t << bits | before >> (np.uint64(64) - bits)
        put(WORDS, y_at + word * 8, shifted - t - borrow)
        borrow = np.uint64(shifted < t or (shifted == t and borrow != 0))
        before = t


@njit(error_model="numpy")
def _spread_bytes(s, x_at, y_at, y_words):
    """Spread the single inputs of the groups of a pixel, eight groups at a time."""
    bits = 8 * s.outputs
    for byte in range((s.groups + 7) // 8):
        spread = get(WORDS, s.table + np.int64(get(SIGNS, x_at + byte)) * 8)
        word, shift = byte * bits >> 6, np.uint64(byte * bits & 63)
        at = y_at + word * 8
        low = get(WORDS, at) if shift else np.uint64(0)  # the first byte of a word clears it
        put(WORDS, at, low | spread << shift)
        if shift and word + 1 < y_words:
            put(WORDS, at + 8, spread >> (np.uint64(64) - shift))


@njit(error_model="numpy")
def _spread(s, x_at, words, y_at, y_row):
    """Spread the inputs of every group of a pixel, group by group."""
    inputs = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - s.inputs)
    outputs = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - s.outputs)
    for group in range(s.groups):
        x = bits_from(x_at, group * s.inputs, words) & inputs
        start = group * s.outputs
        place, y = np.uint64(start & 63), y_at + (start >> 6) * 8
        is_split = (start & 63) + s.outputs > 64
        for _ in range(s.inputs):
            bits = (np.uint64(0) - (x & np.uint64(1))) & outputs
            # The first group of a word clears it.
            low = get(WORDS, y) if place else np.uint64(0)
            put(WORDS, y, low | bits << place)
            if is_split:
                put(WORDS, y + 8, bits >> (np.uint64(64) - place))
            x >>= np.uint64(1)
            y += y_row
