"""Layers of reals followed by max-pooling, a band of rows at a time.

The rows of a band stay in the cache: the map before the pooling, the largest of many networks, is
never stored. Rows that two bands have in common are moved, not computed again.
"""

import numpy as np
from numba import njit

from bnnkit.runtime.kernels.convolution import FLOATS, PAIRS, convolve_row
from bnnkit.runtime.kernels.maps import get, partition_rows, put, row_at
from bnnkit.runtime.kernels.pooling import MAXIMUM, pool_row
from bnnkit.runtime.kernels.records import Map, read
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord, PooledRealsRecord
from bnnkit.runtime.kernels.tile import wide

WORDS = np.zeros(1, np.uint64)


@njit(error_model="numpy")
def _convolve_lines(w, c, image, first, last, y_at):
    """Compute some rows of an image; `y_at` is the place of row 0 if it were stored."""
    wide_blocks = c.vectors // wide(w)
    for block in range(wide_blocks + c.vectors % wide(w)):
        is_wide = block < wide_blocks
        vector = block * wide(w) if is_wide else wide_blocks * (wide(w) - 1) + block
        for line in range(first, last):
            x, y = c.x + image * c.x_image + line * c.x_row, y_at + line * c.y_row
            y += vector * c.y_vector
            convolve_row(w, FLOATS, c, is_wide, vector, x, line, y, c.y_pixel, 0, 0)


@njit(error_model="numpy")
def _move(source, target, size):
    """Move bytes towards lower addresses."""
    for offset in range(0, size, 8):
        put(WORDS, target + offset, get(WORDS, source + offset))


@njit(error_model="numpy")
def _convolve_and_pool(w, at, thread, threads):
    """Compute a thread's share of a layer with max-pooling."""
    p = read(PooledRealsRecord, at)
    c, y = read(ConvolutionRecord, p.convolution), read(Map, p.y)
    scratch = c.y + thread * p.scratch_thread
    row, last = partition_rows(y, thread, threads)
    top, bottom = 0, 0  # of the rows in the scratch, of the image of the previous band
    while row < last:
        image, line = row // y.rows, row % y.rows
        count = min(p.band, last - row, y.rows - line)
        first = max(0, line * p.down - p.top)
        end = min(p.rows, (line + count - 1) * p.down - p.top + p.height)
        start = first
        if line > 0 and bottom > first:
            _move(scratch + (first - top) * c.y_row, scratch, (bottom - first) * c.y_row)
            start = bottom
        top, bottom = first, end if line + count < y.rows else 0
        lines = scratch - first * c.y_row
        _convolve_lines(w, c, image, start, end, lines)
        for _ in range(count):
            size = p.rows, c.columns
            y_at = row_at(y, row)
            pool_row(MAXIMUM, p, size, lines, c.y_row, c.y_pixel, row % y.rows, y, y_at)
            row += 1


def pairs_to_pooled_reals(at, thread, threads):
    """From int16 to the maxima of float32, sum * scale + bias; `at` is a PooledRealsRecord."""
    _convolve_and_pool(PAIRS, at, thread, threads)


def floats_to_pooled_reals(at, thread, threads):
    """From float32 to the maxima of float32, sum * scale + bias."""
    _convolve_and_pool(FLOATS, at, thread, threads)
