"""Argument records of the kernels of convolutions and dense layers (records.py)."""

from typing import NamedTuple


class ConvolutionRecord(NamedTuple):
    """A convolution or a dense layer. The kernel's name gives the element types."""

    images: int
    """Number of images; 1 where a batch of single pixels is laid out as columns."""
    rows: int
    """Number of output rows of an image."""
    columns: int
    """Number of output columns."""
    x: int
    """Address of the first tap of the first pixel."""
    x_image: int
    """Bytes between the first taps of neighbouring images."""
    x_row: int
    """Bytes between the first taps of neighbouring output rows."""
    x_pixel: int
    """Bytes between the first taps of neighbouring output columns."""
    x_group: int
    """Bytes between the first taps of neighbouring groups."""
    outer_count: int
    """Number of rows of the convolution kernel."""
    outer_step: int
    """Bytes between the input rows of neighbouring kernel rows."""
    middle_count: int
    """Number of columns of the kernel; 1 where the columns are contiguous and part of the run."""
    middle_step: int
    """Bytes between the input columns of neighbouring kernel columns."""
    run: int
    """Number of contiguous input elements for each row and column of the kernel."""
    w: int
    """Address of the weights in the layout of weights.lanes."""
    w_vector: int
    """Bytes of the weights of one vector of channels."""
    table: int
    """Address of the epilogue's constants, (border cases, channels)."""
    table_row: int
    """Bytes between the rows of the table."""
    scale: int
    """Address of float32 scale and bias, (2, channels), for real outputs."""
    scale_row: int
    """Bytes between scale and bias."""
    least: int
    """Lower bound to which sums of signs are clipped before scaling; most is the upper one."""
    most: int
    cases: int
    """Address of int64 (rows, columns), the table row of each output pixel."""
    y: int
    """Address of the first output pixel."""
    y_image: int
    """Bytes between the outputs of neighbouring images."""
    y_row: int
    """Bytes between output rows."""
    y_pixel: int
    """Bytes between output columns."""
    y_vector: int
    """Bytes of one vector of output channels."""
    vectors: int
    """Number of vectors of output channels."""
    group_vectors: int
    """Number of vectors of output channels of a group."""
    channels: int
    """Number of output channels rounded up to 16, the room that buffers of sums and reals have."""
    lookup: int
    """Address of TABLE of lookup.py."""
    scratch: int
    """Address of each thread's scratch rows, where the kernel also pools or draws noise."""
    scratch_thread: int
    """Bytes of scratch per thread."""
    noise: int
    """Address of a NoisyThresholdRecord for stochastic signs, a LevelRecord for levels, or 0."""
    added: int
    """Address of the first pixel of a map that is added to the reals, or 0."""
    added_image: int
    """Bytes between its images; rows and pixels likewise."""
    added_row: int
    added_pixel: int
    signs: int
    """Address of the first pixel of the packed signs of the results, or 0."""
    signs_image: int
    """Bytes between their images; rows and pixels likewise."""
    signs_row: int
    signs_pixel: int


class PanelRecord(NamedTuple):
    """A convolution or a dense layer by the panels of panel.py or product_panel.py."""

    convolution: int
    """Address of a ConvolutionRecord, in which max-pooling is part of the stride: its rows and
    columns are those of the output, and its cases are (rows, columns, 4) then."""
    right: int
    """Bytes between the first taps of neighbouring pixels of a pooling window; 0 without one."""
    down: int
    """Bytes between the first taps of its two rows."""
    steps: int
    """Number of steps of a pixel."""
    panels: int
    """Address of each thread's panels."""
    panels_thread: int
    """Bytes of panels per thread."""
    panel: int
    """Bytes of a panel."""
    capacity: int
    """Number of panels of a thread: at least a row of a map where noise is drawn."""


class PlaneRecord(NamedTuple):
    """A convolution or a dense layer over bit planes (planes.py)."""

    convolution: int
    """Address of a ConvolutionRecord, whose x is that of the first plane."""
    planes: int
    """Address of int64 (planes, 2): bytes from the first plane, and the shift of its counts."""
    count: int
    """Number of planes."""


class PooledRealsRecord(NamedTuple):
    """A convolution whose reals are max-pooled in bands of rows (pooled_reals.py)."""

    convolution: int
    """Address of a ConvolutionRecord that writes to scratch, and has as many rows."""
    scratch_thread: int
    """Bytes of scratch per thread."""
    y: int
    """Address of the Map of the result."""
    rows: int
    """Number of rows of the convolution's output."""
    band: int
    """Rows of the result that are computed at once."""
    height: int
    """Height of the window; this and the rest as in PoolRecord, with a dilation of 1."""
    width: int
    down: int
    right: int
    row_step: int
    column_step: int
    top: int
    left: int


class DepthwiseRecord(NamedTuple):
    """A depthwise convolution over a map and its margin."""

    x: int
    """Address of a Map; y likewise."""
    y: int
    w: int
    """Address of float32 weights, (vectors of channels, taps, 16)."""
    bias: int
    """Address of one float32 per channel, padded to whole vectors."""
    height: int
    """Height of the window; this and the rest as in PoolRecord."""
    width: int
    down: int
    right: int
    row_step: int
    column_step: int
    top: int
    left: int


class BitSlicedRecord(NamedTuple):
    """A binary convolution of small groups with bit-sliced counters (bit_sliced.py)."""

    x: int
    """Address of the first tap of the first pixel."""
    x_image: int
    """Bytes between the first taps of neighbouring images."""
    x_row: int
    """Bytes between the first taps of neighbouring output rows."""
    x_pixel: int
    """Bytes between the first taps of neighbouring output columns."""
    taps: int
    """Number of taps."""
    offsets: int
    """Address of int64 (taps,), the bytes from the first tap to each."""
    words: int
    """Number of words of a pixel."""
    w: int
    """Address of the weights, words continued periodically: memory/bit_sliced.py."""
    w_tap: int
    """Bytes between the weights of neighbouring taps; also between planes of limits."""
    phase: int
    """Words of a vector modulo words of a pixel."""
    table: int
    """Address of the limits of the counts, (cases, planes, words), or of bases, (cases,
    channels)."""
    table_row: int
    """Bytes between cases."""
    scale: int
    """Address of float32 scale and bias, (2, channels), for real outputs."""
    scale_row: int
    """Bytes between scale and bias."""
    least: int
    """Lower bound to which sums are clipped before scaling; most is the upper one."""
    most: int
    cases: int
    """Address of int64 (rows, columns), the border case of each output pixel."""
    y: int
    """Address of the Map of the output."""
    channels: int
    """Number of output channels rounded up to 16, the room that buffers of sums and reals have."""
    scratch: int
    """Address of SCRATCH bytes for each thread."""
