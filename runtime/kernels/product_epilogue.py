"""The epilogue of a panel of integer products: packed signs, sums or floats.

Sums of int8 taps lack a number for each channel (product_panel.py). It is part of the table: it is
subtracted from thresholds, and added to sums and reals.
"""

from llvmlite import ir
from numba import types

from bnnkit.runtime.kernels import neon
from bnnkit.runtime.kernels.neon import INTS
from bnnkit.runtime.kernels.product_panel import BLOCK_STEP, LANES
from bnnkit.runtime.kernels.records import PIXELS
from bnnkit.runtime.kernels.vectors import F32, I16, I32, I64, constant, load, store

REALS = ir.VectorType(F32, LANES)
BIT_OF_LANE = [0x1111, 0x2222, 0x4444, 0x8888]
"""Bits that belong to a lane where four channels of four vectors are packed."""


def write_products(builder, kind, y, sums, at, header, block, offset):
    """Apply the epilogue to the sums of some pixels and store the results.

    Args:
        builder: LLVM's IRBuilder.
        kind: Numba type of the taps, int16 or int8.
        y: Numba type of the output, uint8 for packed signs.
        sums: Four vectors of four channels for each pixel.
        at: Fields of the ConvolutionRecord.
        header: Address of the first pixel's output address; that of its table row is four further.
        block: Number of the block of channels.
        offset: Bytes from the output address of a pixel to the block's channels.
    """
    outputs = [
        builder.add(load(builder, builder.add(header, constant(8 * p)), I64, 8), offset)
        for p in range(len(sums))
    ]
    # All pixels have the same row of the table.
    table = load(builder, builder.add(header, constant(8 * PIXELS)), I64, 8)
    if y == types.uint8:
        _write_signs(builder, sums, _constants(builder, table, block, INTS), outputs)
        return
    if kind == types.int8:
        rest = _constants(builder, table, block, INTS)
        sums = [list(map(builder.add, row, rest)) for row in sums]
    if y == types.float32:
        scale = _constants(builder, at["scale"], block, REALS)
        bias = _constants(builder, builder.add(at["scale"], at["scale_row"]), block, REALS)
        sums = [_scaled(builder, row, scale, bias) for row in sums]
    for row, address in zip(sums, outputs, strict=True):
        for v, four in enumerate(row):
            store(builder, four, builder.add(address, constant(16 * v)), 4)


def _constants(builder, address, block, kind):
    """Load the constants of a block, four vectors."""
    start = builder.add(address, builder.mul(block, constant(BLOCK_STEP)))
    return [load(builder, builder.add(start, constant(16 * v)), kind, 4) for v in range(LANES)]


def _scaled(builder, sums, scale, bias):
    """Compute sum * scale + bias, rounded after each."""
    return [
        builder.fadd(builder.fmul(builder.sitofp(four, REALS), factor), added)
        for four, factor, added in zip(sums, scale, bias, strict=True)
    ]


def _write_signs(builder, sums, thresholds, outputs):
    """Write 16 bits for each pixel, set where a sum is below its threshold."""
    bits = [_bits(builder, row, thresholds) for row in sums]
    bits += bits[:1] * (-len(bits) % PIXELS)
    pairs = [neon.add_neighbours(builder, *bits[first : first + 2]) for first in (0, 2)]
    words = neon.add_neighbours(builder, *pairs)
    for p, address in enumerate(outputs):
        word = builder.extract_element(words, ir.Constant(I32, p))
        store(builder, builder.trunc(word, I16), address, 1)


def _bits(builder, sums, thresholds):
    """Compute four lanes, whose sum has bit 4 v + i for channel i of vector v."""
    masks = [
        builder.sext(builder.icmp_signed("<", four, limit), INTS)
        for four, limit in zip(sums, thresholds, strict=True)
    ]
    packed = masks[-1]
    for mask in reversed(masks[:-1]):
        packed = neon.insert_above(builder, mask, packed, 4)
    return builder.and_(packed, ir.Constant(INTS, BIT_OF_LANE))
