"""Argument records of the kernels: named tuples of int64, with addresses and distances in bytes.

`Map` describes a feature map in memory; each other class holds the arguments of one kind of
kernel. Programs are lists of kernels and records in memory, so that a whole network runs inside
one compiled call (program.py). Records of convolutions are in records_of_convolutions.py.
"""

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.vectors import I64

PIXELS = 4
"""Output pixels per tile."""


class Map(NamedTuple):
    """A map in NHWC, with or without a margin; a vector is a map of one pixel."""

    data: int
    """Address of the first element inside the margin."""
    image: int
    """Bytes between images; row and pixel likewise."""
    row: int
    pixel: int
    images: int
    """Number of images in the batch."""
    rows: int
    """Number of rows inside the margin; columns likewise."""
    columns: int
    depth: int
    """Number of channels, also for packed signs."""


class LevelRecord(NamedTuple):
    """Thresholds of activations with few bits, and where their bit planes are (levels.py)."""

    levels: int
    """Number of thresholds: 1, 2, 3, 7 or 15."""
    thresholds: int
    """Address of thresholds (levels, channels padded to 64), int32 or float32 as the numbers."""
    row: int
    """Bytes between the thresholds of neighbouring levels."""
    channels: int
    """Number of channels."""
    flips: int
    """Address of int32 (channels padded to 64): -1 where a maximum of sums is negated, else 0."""
    planes: int
    """Address of int64 (planes,), the bytes from the first plane to each."""


class PackLevelsRecord(NamedTuple):
    """Bit planes of a map of float32 or int32 sums."""

    x: int
    """Address of a Map; y, the first plane, likewise."""
    y: int
    levels: int
    """Address of a LevelRecord."""


class NoisyThresholdRecord(NamedTuple):
    """Thresholds and noise of stochastic signs (stochastic.py)."""

    counters: int
    """Address of int64 (rows, 3), the PhiloxCounters: image number, sample word, mirror mask."""
    keys: int
    """Address of the round keys of philox.py."""
    table: int
    """Address of the quantiles, float32."""
    lines: int
    """Address of float32 (3, 32): intercept, slope and error bound of each line."""
    thresholds: int
    """Address of t, float32 (channels padded to 64), -inf in the padding; r likewise in scales."""
    scales: int
    slacks: int
    """Address of the bound on the rounding error of t + r z, float32, padded likewise."""
    layer: int
    """Layer word of the counter."""
    channels: int
    """Number of channels of a pixel."""
    blocks: int
    """Number of counters per pixel."""
    columns: int
    """Pixels in a row of signs; 0 where a batch of single pixels is laid out as columns."""


class SamplingRecord(NamedTuple):
    """Stochastic signs of a map of float32 or int32 sums."""

    x: int
    """Address of a Map; y, of packed signs, likewise."""
    y: int
    sources: int
    """Address of int64, the image of x that belongs to each row of y."""
    noise: int
    """Address of a NoisyThresholdRecord."""


class PackRecord(NamedTuple):
    """Signs of a map of float32 or int32 sums."""

    x: int
    """Address of a Map; y, of packed signs, likewise."""
    y: int
    thresholds: int
    """Address of one threshold per channel, of the dtype of x."""


class MoveRecord(NamedTuple):
    """A copy or conversion from one map to another."""

    x: int
    """Address of a Map; y likewise."""
    y: int


class JoinRecord(NamedTuple):
    """A copy of packed signs from and to any bit of a word."""

    x: int
    """Address of a Map of the channels that are copied, from the word of the first; y likewise."""
    y: int
    first: int
    """The first bit of the copy in the first word of a pixel of x, 0 to 63."""
    bit: int
    """The first bit of the copy in the first word of a pixel of y, 0 to 63."""


class LayerNormRecord(NamedTuple):
    """The layer norm over the channels of each pixel of a float32 map (layer_norm.py)."""

    x: int
    """Address of a Map; y likewise."""
    y: int
    scale: int
    """Address of one float32 per channel, padded to 16; bias likewise."""
    bias: int
    epsilon: int
    """Address of a float32."""
    signs: int
    """Address of a Map of packed signs of the result, or 0."""
    zeros: int
    """Address of one float32 zero per channel, the thresholds of these signs."""


class LinesRecord(NamedTuple):
    """Packed rows or columns of matrix products (packed_lines.py)."""

    x: int
    """Address of a Map of packed signs."""
    starts: int
    """Address of int64 (matrices, 2): the first channel and the first pixel of each matrix."""
    matrices: int
    """Matrices of an image."""
    channels: int
    """Consecutive channels of a matrix, and consecutive pixels."""
    pixels: int
    is_of_pixels: int
    """1 if a line is one channel of all its pixels, 0 if it is all channels of a pixel."""
    y: int
    """Address of the first word of the first line."""
    y_image: int
    """Bytes from an image to the next; matrices, lines and the words of a line likewise."""
    y_matrix: int
    y_line: int
    y_word: int


class ProductRecord(NamedTuple):
    """Matrix products of packed signs (products.py)."""

    x: int
    """Address of uint64 (matrices * rows, words)."""
    y: int
    """Address of uint64 (matrices, words, 8 * blocks)."""
    sums: int
    """Address of int32 (matrices * rows, 8 * blocks)."""
    matrices: int
    rows: int
    words: int
    blocks: int
    terms: int
    """The number of products in a sum."""
    x_row: int
    """Bytes between the rows of x; the others likewise."""
    y_word: int
    y_matrix: int
    sums_row: int


class PoolRecord(NamedTuple):
    """Pooling windows over a map."""

    x: int
    """Address of a Map; y likewise."""
    y: int
    height: int
    """Height of the window; this and the rest in pixels, vertical before horizontal.

    down and right are the stride, row_step and column_step the dilation, top and left the padding.
    """
    width: int
    down: int
    right: int
    row_step: int
    column_step: int
    top: int
    left: int


class SpreadRecord(NamedTuple):
    """Signs of groups spread to the bits of their outputs (bit_sliced.py)."""

    x: int
    """Address of a Map; y, with `inputs` rows for each row of x, likewise."""
    y: int
    groups: int
    inputs: int
    """Number of input channels of a group."""
    outputs: int
    """Number of output channels of a group, at most 64."""
    starts: int
    """Address of uint64 (words of x,), packed bits that are set at the first input of a group."""
    table: int
    """Address of uint64 (256,), the spread bits of eight groups of one input; 0 for others."""


class NibblesRecord(NamedTuple):
    """Unpacking of signs to nibbles, one per byte (lookup.py)."""

    x: int
    """Address of the first word."""
    y: int
    """Address of the first nibble."""
    words: int
    """Number of words, margins included."""


class AlignRecord(NamedTuple):
    """Alignment of the channels of each group to the start of a word."""

    x: int
    """Address of a Map; y likewise."""
    y: int
    groups: int


class CentreRecord(NamedTuple):
    """Subtraction of zero points from an image (N, C, H, W)."""

    x: int
    """Address of a Map of uint8, one channel after the other."""
    channel: int
    """Bytes between channels of x."""
    y: int
    """Address of a Map of float32, int16 or int8."""
    zero_point: int
    """Address of one float32 per channel."""


class ChainRecord(NamedTuple):
    """A chain of elementwise operations on a map."""

    x: int
    """Address of a Map of float32 or int32."""
    count: int
    """Number of operations, at least one."""
    operations: int
    """Address of int64 (count, 2): operation code, and address of its operands or of its Map."""
    y: int
    """Address of a Map of float32."""
    signs: int
    """Address of a Map of packed signs of the result, or 0."""
    zeros: int
    """Address of one float32 zero per channel, the thresholds of these signs."""


@intrinsic
def read(typing_context, record, address):
    """Load a record of the given class from an address."""
    record_class = record.instance_class
    kind = types.NamedUniTuple(types.int64, len(record_class._fields), record_class)

    def generate(context, builder, _signature, arguments):
        array = ir.ArrayType(I64, kind.count)
        return builder.load(builder.inttoptr(arguments[1], array.as_pointer()))

    return kind(record, address), generate
