"""Walking over the pixels whose signs are stochastic."""

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
"""Arrays that stand for the element types of what is compared."""
NUMBERS = np.zeros(1, np.int64)
DRAW = 24
"""Bytes of a draw."""


@njit(error_model="numpy")
def sample_row(
    kind, window, n, image, line, columns, channel, channels, x_at, pixel, down, y_at, y_pixel
):
    """Stochastic signs of some channels of a row of pixels.

    Args:
        kind: An array of the element type of x.
        window: A literal: 1, or 2 for the maximum over 2x2 pixels.
        n: A NoisyThresholdRecord.
        image: Of the row; where n.columns is 0 the first of as many images as columns.
        line: The row's number in its image.
        columns: Pixels of the row, after pooling.
        channel: The first channel, a multiple of 64.
        channels: How many; what is behind the last channel of the layer is left alone.
        x_at: Address of the first pixel's channel.
        pixel: Between pixels of x.
        down: Between rows of x.
        y_at: Address of the first pixel's word.
        y_pixel: Between pixels of y.
    """
    last = min(channel + channels, n.channels)
    places = index_buffer()
    draw, block = _draw(n, image), line * n.columns * n.blocks
    column = 0
    while column < columns:
        x, y = x_at + window * column * pixel, y_at + column * y_pixel
        if n.columns > 0 and column + PIXELS <= columns:
            _sample_pixels(
                kind, window, PIXELS, n, draw, block + column * n.blocks, channel, last, places,
                x, pixel, down, y, y_pixel,
            )  # fmt: skip
            column += PIXELS
        else:
            first = block + column * n.blocks
            if n.columns == 0:
                draw, first = _draw(n, image + column), 0
            _sample_pixels(
                kind, window, 1, n, draw, first, channel, last, places, x, pixel, down, y, y_pixel
            )
            column += 1


@njit(error_model="numpy")
def _sample_pixels(
    kind, window, pixels, n, draw, block, first, last, places, x_at, pixel, down, y_at, y_pixel
):
    """All channels from `first` to `last` of a pixel, or of some neighbours."""
    for channel in range(first, last, LANES):
        part = (channel - first) % (PARTS * LANES) // LANES
        y = y_at + (channel - first) // 8
        if part == 0:
            draw_indices(pixels, n, draw, block + channel // 8, places)
            for p in range(pixels):
                put(NUMBERS, y + p * y_pixel, 0)
        compare_with_noise(
            kind, window, pixels, n, places + part * pixels * 64, x_at + (channel - first) * 4,
            window * pixel, pixel, down, channel, y, y_pixel,
        )  # fmt: skip


@njit(error_model="numpy")
def _draw(n, image):
    """Number of the image, word of the sample, mirror."""
    at = n.draws + image * DRAW
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
    """Stochastic signs of float32, a SamplingRecord."""
    _sample(REALS, at, thread, threads)


def sample_sums(at, thread, threads):
    """Stochastic signs of int32, a SamplingRecord."""
    _sample(SUMS, at, thread, threads)
