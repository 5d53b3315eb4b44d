"""Kernels of convolutions and dense layers: loops over the tiles of tile.py.

All kernels share one source. Numba compiles a version for each combination of the element types of
weights and outputs. A dense layer is a 1x1 convolution whose columns are the images of the batch.
"""

import numpy as np
from numba import njit

from bnnkit.runtime.kernels.maps import partition, partition_rows_or_blocks
from bnnkit.runtime.kernels.records import PIXELS, NoisyThresholdRecord, read
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord
from bnnkit.runtime.kernels.sampling import sample_row
from bnnkit.runtime.kernels.tile import has_tile_of_three, maximum, tile, wide

WORDS = np.zeros(1, np.uint64)
NIBBLES = np.zeros(1, np.uint8)
OCTETS = np.zeros(1, np.int8)
PAIRS = np.zeros(1, np.int32)
FLOATS = np.zeros(1, np.float32)
SUMS = np.zeros(1, np.int32)
SIGNS = np.zeros(1, np.uint8)
ADDED = np.zeros(1, np.float64)
"""Arrays whose dtype selects the element type of weights and outputs.

Only the dtype matters. A byte of OCTETS holds eight weights. ADDED stands for float32 to which
another map is added, and their signs.
"""


@njit(error_model="numpy")
def _convolve(w, y, at, thread, threads):
    """Compute a thread's share of a layer with weights of w's dtype and outputs of y's."""
    c = read(ConvolutionRecord, at)
    rows = c.images * c.rows
    wide_blocks = c.group_vectors // wide(w)
    group_blocks = wide_blocks + c.group_vectors % wide(w)
    blocks = c.vectors // c.group_vectors * group_blocks
    first_row, last_row, first_block, last_block = partition_rows_or_blocks(
        rows, blocks, thread, threads
    )
    for index in range(first_block, last_block):
        group, block = index // group_blocks, index % group_blocks
        is_wide = block < wide_blocks
        vector = block * wide(w) if is_wide else wide_blocks * (wide(w) - 1) + block
        vector += group * c.group_vectors
        x_group, y_block = c.x + group * c.x_group, c.y + vector * c.y_vector
        for row in range(first_row, last_row):
            image, line = row // c.rows, row % c.rows
            x_at = x_group + image * c.x_image + line * c.x_row
            y_at = y_block + image * c.y_image + line * c.y_row
            at_channels = vector * c.y_vector
            added = c.added + image * c.added_image + line * c.added_row + at_channels
            signs = c.signs + image * c.signs_image + line * c.signs_row + at_channels // 32
            convolve_row(w, y, c, is_wide, vector, x_at, line, y_at, c.y_pixel, added, signs)


@njit(error_model="numpy")
def _convolve_and_pool(w, y, at, thread, threads):
    """Compute a thread's share of a layer of signs followed by a 2x2 max-pooling with stride 2.

    Two rows of signs go to a scratch buffer that stays in the cache. Their maximum is the AND of
    their bits.
    """
    c = read(ConvolutionRecord, at)
    pooled_rows, pooled_columns = c.rows // 2, c.columns // 2
    wide_blocks = c.vectors // wide(w)
    step = wide(w) * c.y_vector
    scratch = c.scratch + thread * c.scratch_thread
    first, last = partition(c.images * pooled_rows, thread, threads)
    for block in range(wide_blocks + c.vectors % wide(w)):
        is_wide = block < wide_blocks
        vector = block * wide(w) if is_wide else wide_blocks * (wide(w) - 1) + block
        y_block = c.y + vector * c.y_vector
        for row in range(first, last):
            image, line = row // pooled_rows, row % pooled_rows
            for half in range(2):
                half_line = 2 * line + half
                x_at = c.x + image * c.x_image + half_line * c.x_row
                y_at = scratch + half * c.columns * step
                convolve_row(w, y, c, is_wide, vector, x_at, half_line, y_at, step, 0, 0)
            y_at = y_block + image * c.y_image + line * c.y_row
            for column in range(pooled_columns):
                top = scratch + 2 * column * step
                bottom = top + c.columns * step
                if is_wide:
                    maximum(wide(w), w, top, bottom, step, y_at + column * c.y_pixel)
                else:
                    maximum(1, w, top, bottom, step, y_at + column * c.y_pixel)


@njit(error_model="numpy")
def _convolve_and_sample(w, window, at, thread, threads):
    """Compute a thread's share of a layer of stochastic signs, optionally after 2x2 max-pooling.

    `window` is 1, or 2 for pooling. The sums of `window` rows of pixels go to a scratch buffer
    that stays in the cache, for at least the 64 channels whose noise is generated together.
    """
    c = read(ConvolutionRecord, at)
    n = read(NoisyThresholdRecord, c.noise)
    lanes = c.y_vector // 4
    per_group = max(wide(w), 64 // lanes)
    pixel = per_group * c.y_vector
    groups = (c.vectors + per_group - 1) // per_group
    rows_of_image = c.rows // window
    rows = c.images * rows_of_image
    first_row, last_row, first_group, last_group = partition_rows_or_blocks(
        rows, groups, thread, threads
    )
    scratch = c.scratch + thread * c.scratch_thread
    for group in range(first_group, last_group):
        vectors = min(per_group, c.vectors - group * per_group)
        for row in range(first_row, last_row):
            image, line = row // rows_of_image, row % rows_of_image
            for half in range(window):
                y_at = scratch + half * c.columns * pixel
                _convolve_vectors(
                    w, c, group * per_group, vectors, image, window * line + half, y_at, pixel
                )
            channel = group * per_group * lanes
            y_at = c.y + image * c.y_image + line * c.y_row + channel // 8
            sample_row(
                SUMS, window, n, image, line, c.columns // window, channel, vectors * lanes,
                scratch, pixel, c.columns * pixel, y_at, c.y_pixel,
            )  # fmt: skip


@njit(error_model="numpy")
def _convolve_vectors(w, c, first, vectors, image, line, y_at, y_pixel):
    """Compute the int32 sums of one row of pixels for `vectors` vectors of channels."""
    vector, x_at = first, c.x + image * c.x_image + line * c.x_row
    while vector < first + vectors:
        is_wide = vector < c.vectors // wide(w) * wide(w)
        convolve_row(w, SUMS, c, is_wide, vector, x_at, line, y_at, y_pixel, 0, 0)
        step = wide(w) if is_wide else 1
        vector += step
        y_at += step * c.y_vector


@njit(error_model="numpy")
def convolve_row(w, y, c, is_wide, vector, x_row, line, y_row, y_pixel, added_row, signs_row):
    """Compute one row of output pixels for one block of channels.

    Where three pixels are left, as of seven, popcounts have a tile of three. Else the last tile is
    shifted left until it fits: some pixels are computed twice.
    """
    w_at, cases = c.w + vector * c.w_vector, c.cases + line * c.columns * 8
    step = PIXELS if c.columns >= PIXELS else 1
    for start in range(0, c.columns, step):
        column = min(start, c.columns - step)
        x_at, y_at, case = x_row + column * c.x_pixel, y_row + column * y_pixel, cases + column * 8
        added, signs = added_row + column * c.added_pixel, signs_row + column * c.signs_pixel
        if has_tile_of_three(w) and is_wide and column == start - 1 and step == PIXELS:
            x_at, y_at = x_row + start * c.x_pixel, y_row + start * y_pixel
            added, signs = added_row + start * c.added_pixel, signs_row + start * c.signs_pixel
            case = cases + start * 8
            tile(3, wide(w), w, y, c, x_at, w_at, vector, case, y_at, y_pixel, added, signs)
        elif step == PIXELS:
            if is_wide:
                tile(
                    PIXELS, wide(w), w, y, c, x_at, w_at, vector, case, y_at, y_pixel, added, signs
                )
            else:
                tile(PIXELS, 1, w, y, c, x_at, w_at, vector, case, y_at, y_pixel, added, signs)
        elif is_wide:
            tile(1, wide(w), w, y, c, x_at, w_at, vector, case, y_at, y_pixel, added, signs)
        else:
            tile(1, 1, w, y, c, x_at, w_at, vector, case, y_at, y_pixel, added, signs)


def words_to_signs(at, thread, threads):
    """From packed signs to packed signs, by limits on the count of differing signs."""
    _convolve(WORDS, SIGNS, at, thread, threads)


def words_to_pooled_signs(at, thread, threads):
    """From packed signs to packed signs after 2x2 max-pooling."""
    _convolve_and_pool(WORDS, SIGNS, at, thread, threads)


def words_to_sampled_signs(at, thread, threads):
    """From packed signs to stochastic signs."""
    _convolve_and_sample(WORDS, 1, at, thread, threads)


def words_to_sampled_pooled_signs(at, thread, threads):
    """From packed signs to stochastic signs of sums after 2x2 max-pooling."""
    _convolve_and_sample(WORDS, 2, at, thread, threads)


def words_to_sums(at, thread, threads):
    """From packed signs to int32 sums."""
    _convolve(WORDS, SUMS, at, thread, threads)


def words_to_reals(at, thread, threads):
    """From packed signs to float32, sum * scale + bias."""
    _convolve(WORDS, FLOATS, at, thread, threads)


def words_to_added_reals(at, thread, threads):
    """From packed signs to float32, sum * scale + bias + another map, and packed signs of it."""
    _convolve(WORDS, ADDED, at, thread, threads)


def lookup_to_signs(at, thread, threads):
    """`words_to_signs` by table lookup."""
    _convolve(NIBBLES, SIGNS, at, thread, threads)


def lookup_to_pooled_signs(at, thread, threads):
    """`words_to_pooled_signs` by table lookup."""
    _convolve_and_pool(NIBBLES, SIGNS, at, thread, threads)


def lookup_to_sampled_signs(at, thread, threads):
    """`words_to_sampled_signs` by table lookup."""
    _convolve_and_sample(NIBBLES, 1, at, thread, threads)


def lookup_to_sampled_pooled_signs(at, thread, threads):
    """`words_to_sampled_pooled_signs` by table lookup."""
    _convolve_and_sample(NIBBLES, 2, at, thread, threads)


def lookup_to_sums(at, thread, threads):
    """`words_to_sums` by table lookup."""
    _convolve(NIBBLES, SUMS, at, thread, threads)


def lookup_to_reals(at, thread, threads):
    """`words_to_reals` by table lookup."""
    _convolve(NIBBLES, FLOATS, at, thread, threads)


def lookup_to_added_reals(at, thread, threads):
    """`words_to_added_reals` by table lookup."""
    _convolve(NIBBLES, ADDED, at, thread, threads)


def octets_to_reals(at, thread, threads):
    """From float32 and binary weights to float32, sum * scale + bias."""
    _convolve(OCTETS, FLOATS, at, thread, threads)


def pairs_to_signs(at, thread, threads):
    """From int16 to packed signs, by thresholds."""
    _convolve(PAIRS, SIGNS, at, thread, threads)


def pairs_to_sums(at, thread, threads):
    """From int16 to int32 sums."""
    _convolve(PAIRS, SUMS, at, thread, threads)


def pairs_to_reals(at, thread, threads):
    """From int16 to float32, sum * scale + bias."""
    _convolve(PAIRS, FLOATS, at, thread, threads)


def floats_to_signs(at, thread, threads):
    """From float32 to packed signs, by thresholds."""
    _convolve(FLOATS, SIGNS, at, thread, threads)


def floats_to_sums(at, thread, threads):
    """From integers stored as float32 to int32 sums."""
    _convolve(FLOATS, SUMS, at, thread, threads)


def floats_to_reals(at, thread, threads):
    """From float32 to float32, sum * scale + bias."""
    _convolve(FLOATS, FLOATS, at, thread, threads)
