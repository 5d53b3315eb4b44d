"""Records of convolutions by panels (kernels/panel.py, kernels/product_panel.py)."""

import numpy as np

from bnnkit.runtime.kernels.panel import HEADER, STEP
from bnnkit.runtime.kernels.product_panel import PIXEL_STEP
from bnnkit.runtime.kernels.records import PIXELS
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord, PanelRecord
from bnnkit.runtime.memory import aligned
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.values import Array

WORD = 8
"""Bytes of a word of packed signs."""
CACHE = 16384
"""Bytes of panels that stay in the first-level cache, of 32 kB, beside a block of weights."""


def pooled_record(record: ConvolutionRecord, cases: Array, memory: Memory) -> ConvolutionRecord:
    """Make 2x2 max-pooling part of the stride of a convolution.

    Args:
        record: The convolution before the pooling.
        cases: int64 (OH, OW), the table row of each of its pixels.
        memory: The addresses of arrays.
    """
    rows, columns = record.rows // 2, record.columns // 2
    windows = cases[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    return record._replace(
        rows=rows,
        columns=columns,
        x_row=2 * record.x_row,
        x_pixel=2 * record.x_pixel,
        cases=memory.address(np.ascontiguousarray(windows.transpose(0, 2, 1, 3))),
    )


def panel_record(
    memory: Memory, record: ConvolutionRecord, element: int, *, pools: bool, is_map: bool
) -> PanelRecord:
    """Complete the record of a convolution, in which pooling is part of the stride already.

    Args:
        memory: The addresses of arrays.
        record: The convolution.
        element: Bytes of an input element: 8 for packed signs.
        pools: Whether a panel is the window of one pixel.
        is_map: Whether columns are those of a map, rather than the images of a batch.
    """
    size = record.outer_count * record.middle_count * record.run * element
    pixel_step = STEP if element == WORD else PIXEL_STEP
    steps = -(-size // pixel_step)
    panel = HEADER + pixel_step * PIXELS * steps
    pixels = record.columns if record.noise else record.images * record.rows * record.columns
    wanted = pixels if pools else -(-pixels // PIXELS)
    # The noise of a row of a map is drawn at once, that of a batch in any number of parts.
    is_whole = record.noise != 0 and is_map
    capacity = wanted if is_whole else min(max(1, CACHE // panel), wanted)
    size = capacity * panel
    panels = aligned.zeros((memory.threads * size,), np.dtype(np.uint8))
    return PanelRecord(
        convolution=memory.record(record),
        right=record.x_pixel // 2 if pools else 0,
        down=record.x_row // 2 if pools else 0,
        steps=steps,
        panels=memory.address(panels),
        panels_thread=size,
        panel=panel,
        capacity=capacity,
    )
