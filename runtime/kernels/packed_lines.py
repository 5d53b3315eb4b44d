"""Kernels that pack the rows and columns of matrix products from a map of signs.

A line is a row of the left matrix or a column of the right one: K signs in W words. Its signs are
consecutive channels of one pixel, or one channel of consecutive pixels. Matrix a of an image
starts at a channel and a pixel of its own, such as the first channel of a head.
"""

import numpy as np
from numba import njit

from bnnkit.runtime.kernels.maps import get, partition, put
from bnnkit.runtime.kernels.records import LinesRecord, Map, read
from bnnkit.runtime.kernels.signs import BYTES, WORDS, bits_from


@njit(error_model="numpy")
def _pixel_at(x, image, pixel):
    """Return the address of a pixel, numbered row by row."""
    if x.rows == 1:
        return x.data + image * x.image + pixel * x.pixel
    row, column = pixel // x.columns, pixel % x.columns
    return x.data + image * x.image + row * x.row + column * x.pixel


@njit(error_model="numpy")
def _start(starts, matrix, which):
    """Return the first channel (which = 0) or pixel (1) of a matrix."""
    return np.int64(get(WORDS, starts + matrix * 16 + which * 8))


def lines_of_channels(at, thread, threads):
    """Pack lines of consecutive channels of a pixel; `at` is a LinesRecord."""
    r = read(LinesRecord, at)
    x = read(Map, r.x)
    words, rest = (r.channels + 63) // 64, np.uint64(r.channels % 64)
    source_words = (x.depth + 63) // 64
    mask = (np.uint64(1) << rest) - np.uint64(1) if rest else ~np.uint64(0)
    for matrix in range(x.images * r.matrices):
        image, own = matrix // r.matrices, matrix % r.matrices
        channel, pixel = _start(r.starts, own, 0), _start(r.starts, own, 1)
        first, last = partition(r.pixels, thread, threads)
        for line in range(first, last):
            x_at = _pixel_at(x, image, pixel + line)
            y_at = r.y + image * r.y_image + own * r.y_matrix + line * r.y_line
            for word in range(words - 1):
                bits = bits_from(x_at, channel + word * 64, source_words)
                put(WORDS, y_at + word * r.y_word, bits)
            bits = bits_from(x_at, channel + (words - 1) * 64, source_words) & mask
            put(WORDS, y_at + (words - 1) * r.y_word, bits)


@njit(error_model="numpy")
def _transposed(block):
    """Transpose 8 bytes of 8 bits: bit j of byte i becomes bit i of byte j.

    Blocks of 1, 2 and 4 bits beside the diagonal are exchanged.
    """
    for shift, mask in (
        (7, 0x00AA00AA00AA00AA),
        (14, 0x0000CCCC0000CCCC),
        (28, 0x00000000F0F0F0F0),
    ):
        differs = (block ^ (block >> np.uint64(shift))) & np.uint64(mask)
        block ^= differs ^ (differs << np.uint64(shift))
    return block


@njit(error_model="numpy")
def _eight(x_at, channel, words):
    """Return the signs of eight channels of a pixel of `words` words."""
    if channel & 7 == 0:
        return np.uint64(get(BYTES, x_at + channel // 8))
    return bits_from(x_at, channel, words) & np.uint64(255)


def lines_of_pixels(at, thread, threads):
    """Pack lines of one channel of consecutive pixels; `at` is a LinesRecord.

    Eight lines and eight pixels are transposed at a time.
    """
    r = read(LinesRecord, at)
    x = read(Map, r.x)
    source_words, octets = (x.depth + 63) // 64, (r.channels + 7) // 8
    first, last = partition(x.images * r.matrices * octets, thread, threads)
    for index in range(first, last):
        matrix, start = index // octets, index % octets * 8
        image, own = matrix // r.matrices, matrix % r.matrices
        channel, pixel = _start(r.starts, own, 0) + start, _start(r.starts, own, 1)
        y_at = r.y + image * r.y_image + own * r.y_matrix + start * r.y_line
        for term in range(0, r.pixels, 8):
            block = np.uint64(0)
            for i in range(min(8, r.pixels - term)):
                x_at = _pixel_at(x, image, pixel + term + i)
                block |= _eight(x_at, channel, source_words) << np.uint64(8 * i)
            block = _transposed(block)
            place = y_at + term // 64 * r.y_word + term % 64 // 8
            for j in range(min(8, r.channels - start)):
                put(BYTES, place + j * r.y_line, block >> np.uint64(8 * j) & np.uint64(255))
