"""Packing of pixels into panels (panel.py, product_panel.py)."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnkit.runtime.kernels.maps import get, put
from bnnkit.runtime.kernels.neon import BYTES, INTS
from bnnkit.runtime.kernels.panel import HEADER, STEP
from bnnkit.runtime.kernels.product_panel import PIXEL_STEP
from bnnkit.runtime.kernels.records import PIXELS
from bnnkit.runtime.kernels.vectors import I32, I64, constant, load, store

NUMBERS = np.zeros(1, np.int64)
"""An array whose dtype selects the element type."""


def pixel_bytes(x):
    """Return the bytes of a step of one pixel, by Numba's type of the inputs."""
    return STEP if x == types.int64 else PIXEL_STEP


@intrinsic
def _pixel_step(typing_context, x):
    """Return `pixel_bytes` for the dtype of an array, as a literal."""
    size = types.literal(pixel_bytes(x.dtype))
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
def pack(x, window, r, c, least, first, last, y, y_image, y_row, y_pixel, panels):
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
