"""Kernels of convolutions and dense layers by the panels of panel.py and product_panel.py.

A thread packs as many panels as stay in the first-level cache. Each block of channels then reads
all of them, so that its weights are read from there too. Output pixels are numbered across rows
and images, so a panel may hold the end of one row and the start of the next.
"""

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.maps import partition, partition_rows_or_blocks
from bnnkit.runtime.kernels.panel import HEADER, count_differences
from bnnkit.runtime.kernels.panel_epilogue import write_epilogue
from bnnkit.runtime.kernels.panel_packing import pack, pixel_bytes
from bnnkit.runtime.kernels.product_epilogue import write_products
from bnnkit.runtime.kernels.product_panel import sum_products
from bnnkit.runtime.kernels.records import PIXELS, NoisyThresholdRecord, read
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord, PanelRecord
from bnnkit.runtime.kernels.sampling import sample_row
from bnnkit.runtime.kernels.vectors import constant

WORDS = np.zeros(1, np.int64)
SHORTS = np.zeros(1, np.int16)
OCTETS = np.zeros(1, np.int8)
"""Arrays whose dtype selects the type of the inputs: words of signs, int16 or int8."""
FLOATS = np.zeros(1, np.float32)
SUMS = np.zeros(1, np.int32)
SIGNS = np.zeros(1, np.uint8)
"""Arrays whose dtype selects the element type of the outputs."""
GROUP = 8
"""Blocks of channels whose noise is generated together: 64 channels."""
GROUP_BYTES = 256
"""Bytes of the sums of a pixel for these channels."""


@intrinsic(prefer_literal=True)
def _multiply(typing_context, x, pixels, window, y, c, steps, panel, first, block, offset):
    """Compute the outputs of a block of channels for some pixels of a panel.

    Args:
        typing_context: Numba's.
        x: An array of the inputs' dtype; only the dtype matters, also of y.
        pixels: A literal: 1, or all four.
        window: A literal: 1, or 2 if the panel is the window of one output pixel.
        y: An array of the output's dtype, uint8 for packed signs.
        c: A ConvolutionRecord.
        steps: Number of steps.
        panel: Address of the panel.
        first: Number of the first pixel in the panel.
        block: Number of the block.
        offset: Bytes from the output address of a pixel to the block's channels.
    """
    signature = types.void(x, pixels, window, y, c, *[types.int64] * 5)

    def generate(context, builder, _signature, arguments):
        record, steps, panel, first, block, offset = arguments[4:]
        at = {
            name: builder.extract_value(record, i)
            for i, name in enumerate(ConvolutionRecord._fields)
        }
        start = builder.add(panel, constant(HEADER))
        start = builder.add(start, builder.mul(first, constant(pixel_bytes(x.dtype))))
        weights = builder.add(at["w"], builder.mul(block, at["w_vector"]))
        header = builder.add(panel, builder.mul(first, constant(8)))
        if x.dtype == types.int64:
            counts = count_differences(builder, pixels.literal_value, start, weights, steps)
            write_epilogue(
                builder, y.dtype, window.literal_value, counts, at, header, block, offset
            )
        else:
            taps = builder.mul(builder.mul(at["outer_count"], at["middle_count"]), at["run"])
            sums = sum_products(builder, x.dtype, pixels.literal_value, start, weights, taps)
            write_products(builder, x.dtype, y.dtype, sums, at, header, block, offset)
        return context.get_dummy_value()

    return signature, generate


@njit(error_model="numpy")
def _multiply_block(x, window, y, r, c, panels, count, single, block, offset):
    """Compute a block of channels for `count` panels, or for `single` pixels of the only one."""
    if single == 0:
        for number in range(count):
            panel = panels + number * r.panel
            _multiply(x, PIXELS, window, y, c, r.steps, panel, 0, block, offset)
    else:
        for pixel in range(single):
            _multiply(x, 1, 1, y, c, r.steps, panels, pixel, block, offset)


@njit(error_model="numpy")
def _convolve(x, window, y, at, thread, threads):
    """Compute a thread's share of a layer, optionally with 2x2 max-pooling of its signs."""
    r = read(PanelRecord, at)
    c = read(ConvolutionRecord, r.convolution)
    pixels = c.images * c.rows * c.columns
    # Partition the channels where there are few pixels (a dense layer).
    by_pixels = pixels >= 2 * PIXELS * threads
    first_pixel, last_pixel = partition(pixels, thread, threads) if by_pixels else (0, pixels)
    first_block, last_block = (
        (0, c.vectors) if by_pixels else partition(c.vectors, thread, threads)
    )
    panels = r.panels + thread * r.panels_thread
    step = 1 if window == 2 else PIXELS
    single = last_pixel - first_pixel if last_pixel - first_pixel < step else 0
    first = first_pixel
    while first < last_pixel:  # a range of a variable step could raise an exception
        last = min(first + r.capacity * step, last_pixel)
        count = pack(
            x, window, r, c, first_pixel, first, last, c.y, c.y_image, c.y_row, c.y_pixel, panels
        )
        for block in range(first_block, last_block):
            _multiply_block(x, window, y, r, c, panels, count, single, block, block * c.y_vector)
        first = last


@njit(error_model="numpy")
def _convolve_and_sample(window, at, thread, threads):
    """Compute a thread's share of a layer of stochastic signs, optionally after 2x2 max-pooling.

    The sums of a row of pixels go to a scratch buffer that stays in the cache, for the 64 channels
    whose noise is generated together.
    """
    r = read(PanelRecord, at)
    c = read(ConvolutionRecord, r.convolution)
    n = read(NoisyThresholdRecord, c.noise)
    groups = (c.vectors + GROUP - 1) // GROUP
    rows = c.images * c.rows
    first_row, last_row, first_group, last_group = partition_rows_or_blocks(
        rows, groups, thread, threads
    )
    panels = r.panels + thread * r.panels_thread
    scratch = c.scratch + thread * c.scratch_thread
    step = 1 if window == 2 else PIXELS
    single = c.columns if c.columns < step else 0
    for row in range(first_row, last_row):
        start, image, line = row * c.columns, row // c.rows, row % c.rows
        column = 0
        while column < c.columns:  # once but for a batch as columns
            columns = min(r.capacity * step, c.columns - column)
            first = start + column
            count = pack(
                WORDS, window, r, c, start, first, first + columns, scratch, 0, 0, GROUP_BYTES,
                panels,
            )  # fmt: skip
            y_at = c.y + image * c.y_image + line * c.y_row + column * c.y_pixel
            for group in range(first_group, last_group):
                blocks = min(GROUP, c.vectors - group * GROUP)
                for k in range(blocks):
                    block = group * GROUP + k
                    _multiply_block(
                        WORDS, window, SUMS, r, c, panels, count, single, block, k * c.y_vector
                    )
                sample_row(
                    SUMS, 1, n, image + column, line, columns, group * 64, blocks * 8,
                    scratch + column * GROUP_BYTES, GROUP_BYTES, 0, y_at + group * 8, c.y_pixel,
                )  # fmt: skip
            column += columns


def panels_to_signs(at, thread, threads):
    """From packed signs to packed signs, by limits on the count of differing signs."""
    _convolve(WORDS, 1, SIGNS, at, thread, threads)


def panels_to_pooled_signs(at, thread, threads):
    """From packed signs to packed signs after 2x2 max-pooling."""
    _convolve(WORDS, 2, SIGNS, at, thread, threads)


def panels_to_sampled_signs(at, thread, threads):
    """From packed signs to stochastic signs."""
    _convolve_and_sample(1, at, thread, threads)


def panels_to_sampled_pooled_signs(at, thread, threads):
    """From packed signs to stochastic signs of sums after 2x2 max-pooling."""
    _convolve_and_sample(2, at, thread, threads)


def panels_to_sums(at, thread, threads):
    """From packed signs to int32 sums."""
    _convolve(WORDS, 1, SUMS, at, thread, threads)


def panels_to_reals(at, thread, threads):
    """From packed signs to float32, sum * scale + bias."""
    _convolve(WORDS, 1, FLOATS, at, thread, threads)


def shorts_to_signs(at, thread, threads):
    """From int16 to packed signs, by thresholds."""
    _convolve(SHORTS, 1, SIGNS, at, thread, threads)


def shorts_to_sums(at, thread, threads):
    """From int16 to int32 sums."""
    _convolve(SHORTS, 1, SUMS, at, thread, threads)


def shorts_to_reals(at, thread, threads):
    """From int16 to float32, sum * scale + bias."""
    _convolve(SHORTS, 1, FLOATS, at, thread, threads)


def quads_to_signs(at, thread, threads):
    """From int8 to packed signs, by thresholds."""
    _convolve(OCTETS, 1, SIGNS, at, thread, threads)


def quads_to_sums(at, thread, threads):
    """From int8 to int32 sums."""
    _convolve(OCTETS, 1, SUMS, at, thread, threads)


def quads_to_reals(at, thread, threads):
    """From int8 to float32, sum * scale + bias."""
    _convolve(OCTETS, 1, FLOATS, at, thread, threads)
