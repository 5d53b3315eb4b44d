"""Convolution and dense layers of every kind: the loop over tiles.

One source for five kernels: Numba compiles a version for each combination of element types (see
tile.py). A dense layer is a 1x1 convolution whose columns are the batch.
"""

from numba import njit

from bnnkit.runtime.kernels.geometry import PIXELS, WIDE
from bnnkit.runtime.kernels.tile import tile


@njit(nogil=True, cache=True)
def convolve(x, w, table, cases, out, g, first_row, last_row, first_block, last_block):
    """Rows first_row <= row < last_row of the output, for the blocks of channels in that range.

    Args:
        x: uint64 or float32 input buffer, NHWC, with its margins.
        w: Weights as `weights.lanes` lays them out.
        table: Constants, (border cases, channels); int64, int32 or float32.
        cases: int64, (rows, columns): which row of the table a pixel uses.
        out: Output buffer, NHWC with its margins; packed signs as uint8. Modified in place.
        g: A Geometry.
        first_row: Counted over the whole batch: image * rows + row.
        last_row: One past the last.
        first_block: Counted over wide blocks, then single vectors.
        last_block: One past the last.
    """
    for block in range(first_block, last_block):
        is_wide = block < g.wide_blocks
        vector = block * WIDE if is_wide else g.wide_blocks * (WIDE - 1) + block
        w_at = w.ctypes.data + vector * g.w_vector
        table_at = table.ctypes.data + vector * g.table_vector
        out_at = out.ctypes.data + g.y_start + vector * g.y_vector
        for row in range(first_row, last_row):
            image, line = row // g.rows, row % g.rows
            x_line = x.ctypes.data + g.x_start + image * g.x_image + line * g.x_row
            y_line = out_at + image * g.y_image + line * g.y_row
            case_line = cases.ctypes.data + line * g.columns * 8
            if g.columns < PIXELS:
                for column in range(g.columns):
                    x_at, y_at = x_line + column * g.x_pixel, y_line + column * g.y_pixel
                    case_at = case_line + column * 8
                    if is_wide:
                        tile(1, WIDE, x, table, out, g, x_at, w_at, table_at, case_at, y_at)
                    else:
                        tile(1, 1, x, table, out, g, x_at, w_at, table_at, case_at, y_at)
            else:
                for start in range(0, g.columns, PIXELS):
                    # The last tile moves left until it fits: some pixels are computed twice.
                    column = min(start, g.columns - PIXELS)
                    x_at, y_at = x_line + column * g.x_pixel, y_line + column * g.y_pixel
                    case_at = case_line + column * 8
                    if is_wide:
                        tile(PIXELS, WIDE, x, table, out, g, x_at, w_at, table_at, case_at, y_at)
                    else:
                        tile(PIXELS, 1, x, table, out, g, x_at, w_at, table_at, case_at, y_at)
