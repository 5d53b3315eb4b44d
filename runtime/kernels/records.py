"""What a kernel is told: a record of int64, addresses and distances in bytes.

A plan is a list of kernels and records in memory, so a whole network runs inside one compiled
call, with any number of threads; see program.py.
"""

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bnnkit.runtime.kernels.vectors import I64

PIXELS = 4
"""Output pixels of a tile."""


class Map(NamedTuple):
    """A map in NHWC, with or without a margin around it; a vector is a map of one pixel."""

    data: int
    """Address of the first element inside the margin."""
    image: int
    """Between images; likewise row and pixel."""
    row: int
    pixel: int
    images: int
    """Of the batch."""
    rows: int
    """Inside the margin; likewise columns."""
    columns: int
    depth: int
    """Channels; for packed signs too."""


class ConvolutionRecord(NamedTuple):
    """A convolution or a dense layer; the kernel's name tells the element types."""

    images: int
    """Of the batch; 1 where a batch of single pixels is laid out as columns."""
    rows: int
    """Output rows of an image."""
    columns: int
    """Output columns."""
    x: int
    """Address of the first tap of the first pixel."""
    x_image: int
    """Between the first taps of neighbouring images."""
    x_row: int
    """Between those of neighbouring output rows."""
    x_pixel: int
    """Between those of neighbouring output columns."""
    outer_count: int
    """Rows of the kernel."""
    outer_step: int
    """Between the input rows that they meet."""
    middle_count: int
    """Columns of the kernel; 1 where neighbouring columns are contiguous and belong to the run."""
    middle_step: int
    """Between the input columns that they meet."""
    run: int
    """Input elements that follow each other in memory, for each row and column of the kernel."""
    w: int
    """Address of the weights, as weights.lanes lays them out."""
    w_vector: int
    """Size of the weights of one vector of channels."""
    table: int
    """Address of the constants, (border cases, channels)."""
    table_row: int
    """Between the constants of neighbouring border cases."""
    scale: int
    """Address of float32 scale and bias, (2, channels), for real outputs."""
    scale_row: int
    """Between scale and bias."""
    least: int
    """What sums of signs are limited to before they are scaled; likewise most."""
    most: int
    cases: int
    """Address of int64 (rows, columns): the row of the table for each pixel."""
    y: int
    """Address of the first output pixel."""
    y_image: int
    """Between the outputs of neighbouring images."""
    y_row: int
    """Between output rows."""
    y_pixel: int
    """Between output columns."""
    y_vector: int
    """Size of one vector of output channels."""
    vectors: int
    """Vectors of output channels."""
    channels: int
    """Output channels, rounded up to 16: sums and reals have room for so many."""
    lookup: int
    """Address of the table of lookup.py."""
    scratch: int
    """Address of two rows of packed output for each thread, where a maximum is taken at once."""
    scratch_thread: int
    """Between the scratch of neighbouring threads."""
    noise: int
    """Address of a NoisyThresholdRecord where the signs are stochastic, or 0."""


class NoisyThresholdRecord(NamedTuple):
    """The noise of stochastic signs; see stochastic.py."""

    draws: int
    """Address of int64 (images, 3): number of the image, word of the sample, mirror."""
    keys: int
    """Address of the round keys of philox.py."""
    table: int
    """Address of the quantiles, float32."""
    lines: int
    """Address of start, slope and error of the lines, float32 (3, 32)."""
    thresholds: int
    """Address of t, float32, -inf behind the last channel, padded to 64; likewise scales, r."""
    scales: int
    slacks: int
    """Address of what rounding may do to t + r z."""
    layer: int
    """Word of the counter."""
    channels: int
    """Of a pixel."""
    blocks: int
    """Counters of a pixel."""
    columns: int
    """Of a row of signs; 0 where a batch of single pixels is laid out as columns."""


class SamplingRecord(NamedTuple):
    """Stochastic signs of a map of reals or sums."""

    x: int
    """Address of a Map; likewise y, of packed signs."""
    y: int
    sources: int
    """Address of int64: the image of x for each image of y."""
    noise: int
    """Address of a NoisyThresholdRecord."""


class PackRecord(NamedTuple):
    """Signs of a map of reals or sums."""

    x: int
    """Address of a Map; likewise y, of packed signs."""
    y: int
    thresholds: int
    """Address of one number a channel, of the type of x."""


class MoveRecord(NamedTuple):
    """From one map to another with nothing but the two to say."""

    x: int
    """Address of a Map; likewise y."""
    y: int


class PoolRecord(NamedTuple):
    """Windows that move over a map."""

    x: int
    """Address of a Map; likewise y."""
    y: int
    height: int
    """Of the window, in pixels; likewise the rest, vertical before horizontal."""
    width: int
    down: int
    right: int
    row_step: int
    column_step: int
    top: int
    left: int


class DepthwiseRecord(NamedTuple):
    """A depthwise convolution: windows that move over a map and its margin, with weights."""

    x: int
    """Address of a Map; likewise y."""
    y: int
    w: int
    """Address of float32 weights, (vectors of channels, taps, 16)."""
    bias: int
    """Address of one float32 a channel, padded to whole vectors."""
    height: int
    """Of the window, as in Pool; likewise the rest."""
    width: int
    down: int
    right: int
    row_step: int
    column_step: int
    top: int
    left: int


class NibblesRecord(NamedTuple):
    """Packed signs as nibbles, one in a byte; see lookup.py."""

    x: int
    """Address of the first word."""
    y: int
    """Address of the first nibble."""
    words: int
    """How many, margins included."""


class AlignRecord(NamedTuple):
    """The channels of each group at the start of a word."""

    x: int
    """Address of a Map; likewise y."""
    y: int
    groups: int


class CentreRecord(NamedTuple):
    """Pixels (N, C, H, W) less their zero point."""

    x: int
    """Address of a Map whose pixels are single bytes."""
    channel: int
    """Between its channels."""
    y: int
    """Address of a Map of float32 or int16."""
    zero_point: int
    """Address of one float32 a channel."""


class ChainRecord(NamedTuple):
    """Elementwise operations, one after the other, on the pixels of a map."""

    x: int
    """Address of a Map of float32 or int32."""
    count: int
    """Operations; at least one."""
    operations: int
    """Address of (count, 2) int64: what, and the address of its numbers or of its Map."""
    y: int
    """Address of a Map of float32."""
    signs: int
    """Address of a Map of packed signs of the result, or 0."""
    zeros: int
    """Address of a zero for each channel, the threshold of those signs."""


@intrinsic
def read(typing_context, record, address):
    """The record of this class that lies at an address, as int64 after int64."""
    record_class = record.instance_class
    kind = types.NamedUniTuple(types.int64, len(record_class._fields), record_class)

    def generate(context, builder, _signature, arguments):
        array = ir.ArrayType(I64, kind.count)
        return builder.load(builder.inttoptr(arguments[1], array.as_pointer()))

    return kind(record, address), generate
