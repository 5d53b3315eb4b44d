"""Kernels of stochastic signs: loops over rows, pixels and channels (stochastic.py)."""

import numpy as np
from numba import njit

from bnnkit.runtime.kernels.maps import get, partition_rows, put
from bnnkit.runtime.kernels.records import PIXELS, Map, NoisyThresholdRecord, SamplingRecord, read
from bnnkit.runtime.kernels.stochastic import (
    LANES,
    PARTS,
    compare_with_noise,
    draw_indices,
    index_buffer,
)

REALS = np.zeros(1, np.float32)
SUMS = np.zeros(1, np.int32)
"""Arrays whose dtype selects the element type of x."""
NUMBERS = np.zeros(1, np.int64)
COUNTER_BYTES = 24
"""Bytes of a row of the PhiloxCounters."""


@njit(error_model="numpy")
def sample_row(
    kind, window, n, image, line, columns, channel, channels, x_at, pixel, down, y_at, y_pixel
):
    """Compute stochastic signs of some channels of one row of pixels.

    Args:
        kind: An array of the dtype of x.
        window: A literal: 1, or 2 to compare the maximum over 2x2 pixels.
        n: A NoisyThresholdRecord.
        image: Image of the row. Where n.columns is 0, the first of `columns` images.
        line: Index of the row in its image.
        columns: Number of pixels of the row, after pooling.
        channel: First channel, a multiple of 64.
        channels: Number of channels; those beyond the last channel of the layer are ignored.
        x_at: Address of the first channel of the first pixel.
        pixel: Bytes between pixels of x.
        down: Bytes between rows of x.
        y_at: Address of the first pixel's word.
        y_pixel: Bytes between pixels of y.
    """
    last = min(channel + channels, n.channels)
    indices = index_buffer()
    counter, block = _counter(n, image), line * n.columns * n.blocks
    column = 0
    while column < columns:
        x, y = x_at + window * column * pixel, y_at + column * y_pixel
        if n.columns > 0 and column + PIXELS <= columns:
            _sample_pixels(
                kind, window, PIXELS, n, counter, block + column * n.blocks, channel, last,
                indices, x, pixel, down, y, y_pixel,
            )  # fmt: skip
            column += PIXELS
        else:
            first = block + column * n.blocks
            if n.columns == 0:
                counter, first = _counter(n, image + column), 0
            _sample_pixels(
                kind,
                window,
                1,
                n,
                counter,
                first,
                channel,
                last,
                indices,
                x,
                pixel,
                down,
                y,
                y_pixel,
            )
            column += 1


@njit(error_model="numpy")
def _sample_pixels(
    kind, window, pixels, n, counter, block, first, last, indices, x_at, pixel, down, y_at, y_pixel
):
    """Compute the channels from `first` to `last` (exclusive) of `pixels` neighbouring pixels."""
    for channel in range(first, last, LANES):
        part = (channel - first) % (PARTS * LANES) // LANES
        y = y_at + (channel - first) // 8
        if part == 0:
            draw_indices(pixels, n, counter, block + channel // 8, indices)
            for p in range(pixels):
                put(NUMBERS, y + p * y_pixel, 0)
        compare_with_noise(
            kind, window, pixels, n, indices + part * pixels * 64, x_at + (channel - first) * 4,
            window * pixel, pixel, down, channel, y, y_pixel,
        )  # fmt: skip


@njit(error_model="numpy")
def _counter(n, image):
    """Load the image number, sample word and mirror mask of an image."""
    at = n.counters + image * COUNTER_BYTES
    return get(NUMBERS, at), get(NUMBERS, at + 8), get(NUMBERS, at + 16)


@njit(error_model="numpy")
def _sample(kind, at, thread, threads):
    s = read(SamplingRecord, at)
    x, y, n = read(Map, s.x), read(Map, s.y), read(NoisyThresholdRecord, s.noise)
    first, last = partition_rows(y, thread, threads)
    for row in range(first, last):
        image, line = row // y.rows, row % y.rows
        source = get(NUMBERS, s.sources + image * 8)
        x_at = x.data + source * x.image + line * x.row
        y_at = y.data + image * y.image + line * y.row
        sample_row(
            kind, 1, n, image, line, y.columns, 0, n.channels, x_at, x.pixel, 0, y_at, y.pixel
        )


def sample_reals(at, thread, threads):
    """Compute stochastic signs of a float32 map; `at` is a SamplingRecord."""
    _sample(REALS, at, thread, threads)


def sample_sums(at, thread, threads):
    """Compute stochastic signs of an int32 map; `at` is a SamplingRecord."""
    _sample(SUMS, at, thread, threads)
