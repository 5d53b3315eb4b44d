"""The epilogue of a panel: turn counts of differing signs into packed signs, sums or floats.

A panel is four output pixels, or the 2x2 window of one pixel behind a max-pooling. A maximum of
signs is the AND of their bits; a maximum of sums, which noise is added to, is theirs.

Limits of counts have 16 bits here. The bit is set (-1) where count >= limit, the number of
differing signs from which the sum is below the threshold.
"""

from functools import reduce

from llvmlite import ir
from numba import types

from bnnkit.runtime.kernels.epilogue import signs_to_reals, signs_to_sums
from bnnkit.runtime.kernels.neon import SHORTS
from bnnkit.runtime.kernels.panel import CHANNELS
from bnnkit.runtime.kernels.records import PIXELS
from bnnkit.runtime.kernels.vectors import I8, I32, I64, constant, load, store

INTS = ir.VectorType(I32, CHANNELS)


def _signs(builder, at, counts, table, block):
    limits = load(builder, builder.add(table, builder.mul(block, constant(16))), SHORTS, 2)
    return builder.icmp_unsigned(">=", counts, limits)


def _sums(builder, at, counts, table, block):
    row = builder.add(table, builder.mul(block, constant(32)))
    return signs_to_sums(builder, at, builder.zext(counts, INTS), row, None, None)


def _reals(builder, at, counts, table, block):
    offset = builder.mul(block, constant(32))
    scale = builder.add(at["scale"], offset)
    bias = builder.add(scale, at["scale_row"])
    row = builder.add(table, offset)
    return signs_to_reals(builder, at, builder.zext(counts, INTS), row, scale, bias)


EPILOGUES = {types.uint8: _signs, types.int32: _sums, types.float32: _reals}
"""Epilogue by the type of the output."""


def _maximum(builder, first, second):
    """Return the larger sums, or the signs that are -1 in both."""
    if first.type.element.width == 1:
        return builder.and_(first, second)
    return builder.select(builder.icmp_signed(">", first, second), first, second)


def write_epilogue(builder, y, window, counts, at, header, block, offset):
    """Apply the epilogue to the counts of some pixels and store the results.

    Args:
        builder: LLVM's IRBuilder.
        y: Numba type of the output, uint8 for packed signs.
        window: 1, or 2 for the maximum of four pixels.
        counts: One vector of eight lanes of 16 bits per pixel.
        at: Fields of the ConvolutionRecord.
        header: Address of the first pixel's output address; that of its table row is four further.
        block: Number of the block of channels.
        offset: Bytes from the output address of a pixel to the block's channels.
    """
    addresses = [
        [
            load(builder, builder.add(header, constant(8 * (p + first))), I64, 8)
            for p in range(len(counts))
        ]
        for first in (0, PIXELS)
    ]
    values = [
        EPILOGUES[y](builder, at, count, table, block)
        for count, table in zip(counts, addresses[1], strict=True)
    ]
    if window == 2:
        values = [reduce(lambda a, b: _maximum(builder, a, b), values)]
    for value, address in zip(values, addresses[0], strict=False):
        if y == types.uint8:
            value = builder.bitcast(value, I8)
        store(builder, value, builder.add(address, offset), 1 if y == types.uint8 else 4)
