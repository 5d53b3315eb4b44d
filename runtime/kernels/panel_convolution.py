"""Kernels of convolutions and dense layers by the panels of panel.py and product_panel.py.

A thread packs as many panels as stay in the first-level cache. Each block of channels then reads
all of them, so that its weights are read from there too. Output pixels are numbered across rows
and images, so a panel may hold the end of one row and the start of the next.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.kernels.maps import get, partition, put
from bnnkit.runtime.kernels.neon import BYTES, INTS
from bnnkit.runtime.kernels.panel import HEADER, STEP, count_differences
from bnnkit.runtime.kernels.panel_epilogue import write_epilogue
from bnnkit.runtime.kernels.product_epilogue import write_products
from bnnkit.runtime.kernels.product_panel import PIXEL_STEP, sum_products
from bnnkit.runtime.kernels.records import (
    PIXELS,
    ConvolutionRecord,
    NoisyThresholdRecord,
    PanelRecord,
    read,
)
from bnnkit.runtime.kernels.sampling import sample_row
from bnnkit.runtime.kernels.vectors import I32, I64, constant, load, store

WORDS = np.zeros(1, np.int64)
SHORTS = np.zeros(1, np.int16)
OCTETS = np.zeros(1, np.int8)
"""Arrays whose dtype selects the type of the inputs: words of signs, int16 or int8."""
NUMBERS = np.zeros(1, np.int64)
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
        start = builder.add(start, builder.mul(first, constant(_pixel_bytes(x.dtype))))
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


def _pixel_bytes(x):
    """Return the bytes of a step of one pixel, by Numba's type of the inputs."""
    return STEP if x == types.int64 else PIXEL_STEP


@intrinsic
def _pixel_step(typing_context, x):
    """Return `_pixel_bytes` for the dtype of an array, as a literal."""
    size = types.literal(_pixel_bytes(x.dtype))
    return size(x), lambda context, builder, signature, arguments: constant(size.literal_value)


@intrinsic
def _address_buffer(typing_context):
    """Allocate an address for each pixel on the caller's stack and return where they are."""

    def generate(context, builder, _signature, _arguments):
        addresses = cgutils.alloca_once(builder, I64, ir.Constant(I32, PIXELS))
        return builder.ptrtoint(addresses, I64)

    return types.int64(), generate


@intrinsic
def _copy_step(typing_context, x_at, y_at):
    """Copy two words."""

    def generate(context, builder, _signature, arguments):
        store(builder, load(builder, arguments[0], BYTES, 8), arguments[1], STEP)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@njit(error_model="numpy")
def _pack_words(c, x_at, y_at):
    """Copy the words of all taps of a pixel into a panel."""
    half = 0
    for outer in range(c.outer_count):
        for middle in range(c.middle_count):
            x = x_at + outer * c.outer_step + middle * c.middle_step
            if c.run % 2 == 0:
                for step in range(c.run // 2):
                    _copy_step(x + STEP * step, y_at)
                    y_at += PIXELS * STEP
            else:
                for word in range(c.run):
                    put(NUMBERS, y_at + half, get(NUMBERS, x + 8 * word))
                    y_at += half * (PIXELS * STEP // 8)
                    half = 8 - half
    if half:
        put(NUMBERS, y_at + half, 0)


@intrinsic
def _copy_pixels(typing_context, x0, x1, x2, x3, y_at):
    """Copy a step of each of four pixels."""

    def generate(context, builder, _signature, arguments):
        *pixels, y_at = arguments
        step = ir.Constant(INTS, ir.Undefined)
        for p, pixel in enumerate(pixels):
            step = builder.insert_element(step, load(builder, pixel, I32, 1), ir.Constant(I32, p))
        store(builder, step, y_at, PIXELS * PIXEL_STEP)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@njit(error_model="numpy")
def _pack_taps(kind, c, x0, x1, x2, x3, y_at):
    """Copy all taps of four pixels into a panel: whole steps of the runs, then their rests."""
    size = kind.itemsize
    rest = c.run * size & (PIXEL_STEP - 1)
    whole = c.run * size - rest
    for outer in range(c.outer_count):
        for middle in range(c.middle_count):
            first = outer * c.outer_step + middle * c.middle_step
            for at in range(first, first + whole, PIXEL_STEP):
                _copy_pixels(x0 + at, x1 + at, x2 + at, x3 + at, y_at)
                y_at += PIXELS * PIXEL_STEP
    if rest == 0:
        return
    place = 0
    for outer in range(c.outer_count):
        for middle in range(c.middle_count):
            first = outer * c.outer_step + middle * c.middle_step + whole
            for tap in range(rest // size):
                at, y = first + tap * size, y_at + place
                put(kind, y, get(kind, x0 + at))
                put(kind, y + PIXEL_STEP, get(kind, x1 + at))
                put(kind, y + 2 * PIXEL_STEP, get(kind, x2 + at))
                put(kind, y + 3 * PIXEL_STEP, get(kind, x3 + at))
                place += size
                if place == PIXEL_STEP:
                    place = 0
                    y_at += PIXELS * PIXEL_STEP


@njit(error_model="numpy")
def _pack_pixel(x, c, p, tap, y_at, case_at, panel, addresses):
    """Write the header of a pixel, and its words, or where its taps are."""
    put(NUMBERS, panel + 8 * p, y_at)
    put(NUMBERS, panel + 8 * (PIXELS + p), c.table + get(NUMBERS, case_at) * c.table_row)
    if _pixel_step(x) == STEP:
        _pack_words(c, tap, panel + HEADER + STEP * p)
    else:
        put(NUMBERS, addresses + 8 * p, tap)


@njit(error_model="numpy")
def _pack_panel(x, window, r, c, first, count, y, y_image, y_row, y_pixel, panel):
    """Pack `count` output pixels from number `first` on, or the window of one."""
    row, column = first // c.columns, first % c.columns
    addresses = _address_buffer()
    p = 0
    while p < count:  # once for each row of pixels
        image, line = row // c.rows, row % c.rows
        tap = c.x + image * c.x_image + line * c.x_row + column * c.x_pixel
        y_at = y + image * y_image + line * y_row + column * y_pixel
        case_at = c.cases + 8 * window * window * (line * c.columns + column)
        if window == 2:
            for corner in range(PIXELS):
                right = tap + corner // 2 * r.down + corner % 2 * r.right
                _pack_pixel(x, c, corner, right, y_at, case_at + 8 * corner, panel, addresses)
        else:
            for _ in range(min(count - p, c.columns - column)):
                _pack_pixel(x, c, p, tap, y_at, case_at, panel, addresses)
                p += 1
                tap += c.x_pixel
                y_at += y_pixel
                case_at += 8
        row += 1
        column = 0
        if window == 2:
            p += 1
    if _pixel_step(x) == PIXEL_STEP:
        for p in range(count, PIXELS):
            put(NUMBERS, addresses + 8 * p, get(NUMBERS, addresses))
        _pack_taps(
            x, c, get(NUMBERS, addresses), get(NUMBERS, addresses + 8),
            get(NUMBERS, addresses + 16), get(NUMBERS, addresses + 24), panel + HEADER,
        )  # fmt: skip


@njit(error_model="numpy")
def _pack(x, window, r, c, least, first, last, y, y_image, y_row, y_pixel, panels):
    """Pack the pixels from `first` to `last` (exclusive); returns the number of panels.

    The last panel starts earlier where it would not be whole, but not before pixel `least`: some
    pixels are computed twice.
    """
    step = 1 if window == 2 else PIXELS
    count = (last - first + step - 1) // step
    for number in range(count):
        start = max(min(first + number * step, last - step), least)
        whole = min(step, last - start)
        panel = panels + number * r.panel
        _pack_panel(x, window, r, c, start, whole, y, y_image, y_row, y_pixel, panel)
    return count


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
        count = _pack(
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
    by_rows = rows >= 2 * threads
    first_row, last_row = partition(rows, thread, threads) if by_rows else (0, rows)
    first_group, last_group = (0, groups) if by_rows else partition(groups, thread, threads)
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
            count = _pack(
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
