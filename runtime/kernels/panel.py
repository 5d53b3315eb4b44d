"""Panel micro-kernel, for CPUs that count the bits of every byte of a vector (AArch64's cnt).

The lanes of a vector hold *input bits*: 128 bits, two words of packed signs, are one **step**.
Four pixels are packed once into a panel, which all output channels then read:

    panel      64 bytes: for each of four pixels, the address of its output, then for each the
               address of its table row; then (steps, 4 pixels, 16 bytes), the words of all taps
    weights    (blocks of 8 channels, 2 halves, steps, 4 channels, 16 bytes)

Words follow each other in the order of kernel rows, kernel columns and words of a pixel, without
gaps. If their number is odd, zeros fill the last step of the pixels and of the weights. Zero
weights fill the last block of channels.

    acc[p][c] += popcount of each byte of (panel[step][p] ^ weights[step][c])

The four pixels and the four channels of half a block have 16 accumulators of 16 bytes, which fit
into 32 registers beside weights, pixels and temporary values. A byte holds 31 counts of at most 8;
only longer sums are widened to 16 bits in between. Where the CPU adds four products of bytes in
one instruction (udot), accumulators have 32 bits and are never widened. At the end, the lanes of
each accumulator are added.
"""

from llvmlite import ir
from numba.core import cgutils

from bnnkit.runtime.kernels import neon
from bnnkit.runtime.kernels.cpu import has_byte_dot_product
from bnnkit.runtime.kernels.neon import BYTES, INTS, SHORTS
from bnnkit.runtime.kernels.records import PIXELS
from bnnkit.runtime.kernels.vectors import I32, I64, constant, load, store

CHANNELS = 8
"""Output channels of a block."""
HALF = 4
"""Output channels of half a block, which are counted together."""
STEP = 16
"""Bytes of a step of one pixel or one channel."""
HEADER = 64
"""Bytes before the first step of a panel."""
FLUSH = 31
"""Counts of at most 8 that a byte can sum: 31 * 8 = 248."""
UNROLL = 4
"""Steps in the body of the loop. The first step is done before it, and sets the accumulators."""
MOST_TAPS = 65534
"""Differing signs that 16 bits can count, beside 65535 as a limit that no count reaches."""


def count_differences(builder, pixels, panel_at, w_at, steps):
    """Build the numbers of differing signs of some pixels of a panel and the channels of a block.

    Args:
        builder: LLVM's IRBuilder.
        pixels: P, the number of pixels: 1, or all four.
        panel_at: Address of the first step of the first of these pixels.
        w_at: Address of the weights of the block.
        steps: Number of steps, an int64.

    Returns:
        For each pixel, a vector of eight lanes of 16 bits.
    """
    sum_half = _sum_dot_products if has_byte_dot_product() else _sum_bytes
    room = cgutils.alloca_once(builder, BYTES, ir.Constant(I32, 2 * pixels))
    room.align = STEP
    sums_at = builder.ptrtoint(room, I64)
    with cgutils.for_range(builder, constant(2), intp=I64) as half:
        weights = builder.add(w_at, builder.mul(half.index, builder.mul(steps, _size(HALF))))
        for p, four in enumerate(sum_half(builder, pixels, panel_at, weights, steps)):
            address = builder.add(sums_at, builder.mul(half.index, _size(pixels)))
            store(builder, four, builder.add(address, _size(p)), STEP)
    kind = INTS if has_byte_dot_product() else SHORTS
    halves = [
        [
            load(builder, builder.add(sums_at, _size(half * pixels + p)), kind, STEP)
            for half in (0, 1)
        ]
        for p in range(pixels)
    ]
    return [_join(builder, *pair) for pair in halves]


def _join(builder, first, second):
    """Join the sums of both halves of a block."""
    if first.type == SHORTS:
        return neon.add_neighbours(builder, first, second)
    mask = ir.Constant(ir.VectorType(I32, CHANNELS), list(range(CHANNELS)))
    return builder.trunc(builder.shuffle_vector(first, second, mask), SHORTS)


def _sum_dot_products(builder, pixels, panel_at, w_at, steps):
    """Count with accumulators of 32 bits; gives a vector of four channels for each pixel."""
    slots = [cgutils.alloca_once(builder, INTS) for _ in range(pixels * HALF)]
    _add_steps(builder, slots, _add_quads, panel_at, w_at, steps)
    return _add_lanes(builder, [builder.load(slot) for slot in slots])


def _sum_bytes(builder, pixels, panel_at, w_at, steps):
    """Count with accumulators of bytes; gives 16 bits, two lanes for each of four channels."""
    wide = [cgutils.alloca_once(builder, SHORTS) for _ in range(pixels * HALF)]
    is_short = builder.icmp_unsigned("<=", steps, constant(FLUSH))
    with builder.if_else(is_short, likely=True) as (short, long):
        with short:
            sums = _widened(builder, pixels, panel_at, w_at, steps)
            for slot, value in zip(wide, sums, strict=True):
                builder.store(value, slot)
        with long:
            _sum_parts(builder, wide, panel_at, w_at, steps)
    return _add_lanes(builder, [builder.load(slot) for slot in wide])


def _sum_parts(builder, wide, panel_at, w_at, steps):
    """Count FLUSH steps at a time."""
    for slot in wide:
        builder.store(ir.Constant(SHORTS, None), slot)  # None is zero
    bounds = constant(0), steps, constant(FLUSH)
    with cgutils.for_range_slice(builder, *bounds, intp=I64) as (first, _):
        left = builder.sub(steps, first)
        is_last = builder.icmp_unsigned("<", left, constant(FLUSH))
        count = builder.select(is_last, left, constant(FLUSH))
        panel = builder.add(panel_at, builder.mul(first, _size(PIXELS)))
        weights = builder.add(w_at, builder.mul(first, _size(HALF)))
        sums = _widened(builder, len(wide) // HALF, panel, weights, count)
        for slot, value in zip(wide, sums, strict=True):
            builder.store(builder.add(builder.load(slot), value), slot)


def _widened(builder, pixels, panel_at, w_at, count):
    """Count at most FLUSH steps and widen the sums to 16 bits."""
    slots = [cgutils.alloca_once(builder, BYTES) for _ in range(pixels * HALF)]
    _add_steps(builder, slots, _add_bytes, panel_at, w_at, count)
    return [neon.add_byte_pairs(builder, builder.load(slot)) for slot in slots]


def _add_bytes(builder, total, counts):
    """Add counts to a total, None for the first."""
    return counts if total is None else neon.opaque(builder, builder.add(total, counts))


def _add_quads(builder, total, counts):
    zero = ir.Constant(INTS, None)
    return neon.add_quads(builder, zero if total is None else total, counts)


def _add_steps(builder, slots, add, panel_at, w_at, count):
    """Add `count` steps, at least one, to the accumulators, HALF channels of each pixel."""
    panel, weights = (cgutils.alloca_once_value(builder, at) for at in (panel_at, w_at))

    def body(steps, is_first):
        x_at, here = builder.load(panel), builder.load(weights)
        for step in range(steps):
            x = builder.add(x_at, _size(step * PIXELS))
            _add_step(builder, slots, add, x, builder.add(here, _size(step * HALF)), is_first)
        builder.store(builder.add(x_at, _size(steps * PIXELS)), panel)
        builder.store(builder.add(here, _size(steps * HALF)), weights)

    body(1, is_first=True)
    others = builder.sub(count, constant(1))
    for rounds, steps in ((builder.udiv, UNROLL), (builder.urem, 1)):
        with cgutils.for_range(builder, rounds(others, constant(UNROLL)), intp=I64):
            body(steps, is_first=False)


def _add_step(builder, slots, add, x_at, w_at, is_first):
    """Add one step to the accumulators, pixel after pixel so that few registers are needed.

    Neighbouring instructions do not depend on each other, so that a CPU which executes them in
    order does not wait.
    """
    w = [load(builder, builder.add(w_at, _size(c)), BYTES, STEP) for c in range(HALF)]
    for p in range(len(slots) // HALF):
        x = load(builder, builder.add(x_at, _size(p)), BYTES, STEP)
        differing = [builder.xor(x, weight) for weight in w]
        counts = [neon.count_bits(builder, value) for value in differing]
        for count, slot in zip(counts, slots[HALF * p :], strict=False):
            total = None if is_first else builder.load(slot)
            builder.store(add(builder, total, count), slot)


def _add_lanes(builder, sums):
    """Add the lanes of the sums of each pixel's channels until one vector is left of each."""
    for _ in range(2):
        pairs = zip(sums[::2], sums[1::2], strict=True)
        sums = [neon.add_neighbours(builder, *pair) for pair in pairs]
    return sums


def _size(steps):
    """Return the bytes of some steps of one pixel or channel."""
    return constant(STEP * steps)
