"""Panel micro-kernels of integer products, for CPUs with vectors of 128 bits (AArch64).

As in panel.py, four pixels are packed once into a panel, which all output channels then read. A
**step** is 4 bytes of each pixel: four neighbouring taps of int8, or two of int16.

    panel      64 bytes as in panel.py; then (steps, 4 pixels, 4 bytes)
    weights    for int8 taps: (blocks of 16 channels, 2 parts, steps, 16 channels, 4 taps), int8;
               for int16 taps: (blocks of 16 channels, steps, 2 taps, 16 channels), int16

Taps are the contiguous runs of inputs, whole steps of each run first, then what is left of each.
Zero weights fill the last step; of two int16 taps, the second is left out there.

Pixels minus 128 fit into int8, weights do not: a weight is 256 high + low, its two parts. One
instruction (sdot) adds four products of bytes to 32 bits. After the high parts, the accumulators
are multiplied by 256. The epilogue adds what the sums lack because of 128 in place of the zero
points. Without that instruction, taps are pixels minus their zero point, and one instruction
(smlal) multiplies four channels by a tap, which is a lane of a vector.

The four pixels and 16 channels have 16 accumulators of four lanes. All sums are exact.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from bnnkit.runtime.kernels import neon
from bnnkit.runtime.kernels.neon import BYTES, INTS, SHORTS
from bnnkit.runtime.kernels.records import PIXELS
from bnnkit.runtime.kernels.vectors import I32, I64, constant, load

CHANNELS = 16
"""Output channels of a block."""
BLOCK_STEP = 64
"""Bytes of the weights of a step."""
PIXEL_STEP = 4
"""Bytes of a step of one pixel."""
LANES = 4
"""Channels of an accumulator."""
PART_BITS = 8
"""A weight is 2^8 times its high part, plus its low part."""


def sum_products(builder, kind, pixels, panel_at, w_at, taps):
    """Build the sums of products of some pixels of a panel and the channels of a block.

    Args:
        builder: LLVM's IRBuilder.
        kind: Numba type of the taps, int16 or int8.
        pixels: P, the number of pixels: 1, or all four.
        panel_at: Address of the first step of the first of these pixels.
        w_at: Address of the weights of the block.
        taps: Number of taps, an int64.

    Returns:
        For each pixel, four vectors of four channels, lanes of 32 bits.
    """
    slots = [
        [cgutils.alloca_once(builder, INTS) for _ in range(CHANNELS // LANES)]
        for _ in range(pixels)
    ]
    for slot in (slot for row in slots for slot in row):
        builder.store(ir.Constant(INTS, None), slot)  # None is zero
    if kind == types.int16:
        _add_steps(builder, slots, _add_pairs, panel_at, w_at, builder.lshr(taps, constant(1)))
        with builder.if_then(builder.trunc(taps, ir.IntType(1))):
            last = builder.sub(taps, constant(1))
            x_at = builder.add(panel_at, builder.mul(last, constant(PIXELS * PIXEL_STEP // 2)))
            here = builder.add(w_at, builder.mul(last, constant(BLOCK_STEP // 2)))
            _add_tap(builder, slots, _load_pixels(builder, pixels, x_at), here, 0)
    else:
        steps = builder.lshr(builder.add(taps, constant(3)), constant(2))
        _add_steps(builder, slots, _add_quads, panel_at, w_at, steps)
        for slot in (slot for row in slots for slot in row):
            bits = ir.Constant(INTS, [PART_BITS] * LANES)
            builder.store(builder.shl(builder.load(slot), bits), slot)
        low = builder.add(w_at, builder.mul(steps, constant(BLOCK_STEP)))
        _add_steps(builder, slots, _add_quads, panel_at, low, steps)
    return [[builder.load(slot) for slot in row] for row in slots]


def _add_steps(builder, slots, add, panel_at, w_at, steps):
    """Add all steps to the accumulators slots[pixel][four channels]."""
    panel, weights = (cgutils.alloca_once_value(builder, at) for at in (panel_at, w_at))
    with cgutils.for_range(builder, steps, intp=I64):
        x_at, here = builder.load(panel), builder.load(weights)
        add(builder, slots, _load_pixels(builder, len(slots), x_at), here)
        builder.store(builder.add(x_at, constant(PIXELS * PIXEL_STEP)), panel)
        builder.store(builder.add(here, constant(BLOCK_STEP)), weights)


def _load_pixels(builder, count, address):
    """Load a step of all pixels, or of one into the first lane."""
    if count == PIXELS:
        return load(builder, address, INTS, PIXELS * PIXEL_STEP)
    one = load(builder, address, I32, PIXEL_STEP)
    return builder.insert_element(ir.Constant(INTS, ir.Undefined), one, ir.Constant(I32, 0))


def _add_quads(builder, slots, x, w_at):
    """Add a step of int8 taps."""
    weights = [
        load(builder, builder.add(w_at, constant(16 * v)), BYTES, 16) for v in range(len(slots[0]))
    ]
    for p, row in enumerate(slots):
        four = builder.bitcast(_lanes(builder, x, [p] * LANES), BYTES)
        for slot, w in zip(row, weights, strict=True):
            builder.store(neon.add_signed_quads(builder, builder.load(slot), four, w), slot)


def _add_pairs(builder, slots, x, w_at):
    """Add a step of int16 taps, one tap after the other."""
    for tap in range(2):
        _add_tap(builder, slots, x, builder.add(w_at, constant(tap * BLOCK_STEP // 2)), tap)


def _add_tap(builder, slots, x, w_at, tap):
    """Add the first or the second int16 tap of a step."""
    weights = []
    for half in range(2):
        eight = load(builder, builder.add(w_at, constant(16 * half)), SHORTS, 16)
        weights += [_lanes(builder, eight, range(first, first + LANES)) for first in (0, LANES)]
    for p, row in enumerate(slots):
        one = _lanes(builder, builder.bitcast(x, SHORTS), [2 * p + tap] * LANES)
        for slot, w in zip(row, weights, strict=True):
            builder.store(neon.add_short_products(builder, builder.load(slot), one, w), slot)


def _lanes(builder, value, lanes):
    mask = ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes))
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)
