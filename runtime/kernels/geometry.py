"""Where the inputs and outputs of a layer lie: the one argument that says it all to a kernel."""

from typing import NamedTuple

PIXELS = 4
"""Output pixels of a tile."""
WIDE = 4
"""Vectors of output channels of a tile; what is left over is done one vector at a time."""


class Geometry(NamedTuple):
    """Counts, and distances in bytes."""

    rows: int
    """Output rows of an image."""
    columns: int
    """Output columns."""
    x_start: int
    """From the start of the input buffer to the first tap of the first pixel."""
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
    y_start: int
    """From the start of the output buffer to the first pixel."""
    y_image: int
    """Between the outputs of neighbouring images."""
    y_row: int
    """Between output rows."""
    y_pixel: int
    """Between output columns."""
    y_vector: int
    """Size of one vector of output channels."""
    wide_blocks: int
    """Blocks of WIDE vectors of channels; the blocks behind them are one vector each."""
    w_vector: int
    """Size of the weights of one vector of channels."""
    table_vector: int
    """Size of the constants of one vector of channels."""
    table_row: int
    """Between the constants of neighbouring border cases."""
