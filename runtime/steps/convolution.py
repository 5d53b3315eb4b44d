"""Convolution and dense layers: from packed signs, or from integers and reals held as float32."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.runtime import weights
from bnnkit.runtime.kernels.convolution import convolve
from bnnkit.runtime.kernels.geometry import WIDE, Geometry
from bnnkit.runtime.steps.step import Values
from bnnkit.runtime.threads import Part, split
from bnnkit.runtime.values import Array, Buffers, Value, as_map

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Window:
    """How a kernel moves over a map.

    Attributes:
        size: KH and KW; likewise the others are vertical and horizontal.
        stride: In pixels.
        dilation: In pixels.
        padding: Pixels before the first row and column, all that a margin must give.
    """

    size: Pair
    stride: Pair
    dilation: Pair
    padding: Pair


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """One group of a convolution. The target's kind says what is written: signs, sums or reals.

    Attributes:
        window: The kernel's movement.
        weights: As `weights.lanes` gives them.
        channels: Output channels of the group.
        elements: Input elements of a pixel that the group reads: words or channels.
        first_element: Where they start in the pixel.
        first_channel: Where the group's output starts.
        table: Constants, (border cases, channels padded to vectors).
        cases: int64, (OH, OW), the row of the table for each output pixel.
    """

    name: str
    source: str
    target: str
    window: Window
    weights: Array
    channels: int
    elements: int
    first_element: int
    first_channel: int
    table: Array
    cases: NDArray[np.int64]

    def bind(self, values: Values, buffers: Buffers, threads: int) -> list[Part]:
        x = as_map(buffers[self.source])
        target = values[self.target]
        out = as_map(buffers[self.target])
        if target.kind == "signs":
            out = out.view(np.uint8)
        _, rows, columns = target.map
        if rows * columns == 1:  # the images of a batch are the columns of a tile
            geometry = self._geometry(values[self.source], target, x, out)._replace(
                columns=len(x), x_pixel=x.strides[0], y_pixel=out.strides[0]
            )
            cases = np.zeros((1, len(x)), np.int64)
            total_rows = 1
        else:
            geometry, cases = self._geometry(values[self.source], target, x, out), self.cases
            total_rows = len(x) * rows
        kernel = partial(
            convolve, _start(x), self.weights, self.table, cases, _start(out), geometry
        )
        return self._parts(kernel, total_rows, threads)

    def _parts(self, kernel: Callable[..., Any], rows: int, threads: int) -> list[Part]:
        vectors = -(-self.channels // weights.lanes_of(self.weights.dtype))
        blocks = vectors // WIDE + vectors % WIDE
        if rows >= blocks:
            return [partial(kernel, *part, 0, blocks) for part in split(rows, threads)]
        return [partial(kernel, 0, rows, *part) for part in split(blocks, threads)]

    def _geometry(self, source: Value, target: Value, x: Array, out: Array) -> Geometry:
        (height, width), (down, right) = self.window.size, self.window.stride
        top, left = self.window.padding
        lanes = weights.lanes_of(self.weights.dtype)
        # Neighbouring columns follow each other where nothing lies between them.
        is_run = self.window.dilation[1] == 1 and self.elements * x.itemsize == x.strides[2]
        bits = target.kind == "signs"
        return Geometry(
            rows=target.map[1],
            columns=target.map[2],
            x_start=(source.margin.top - top) * x.strides[1]
            + (source.margin.left - left) * x.strides[2]
            + self.first_element * x.itemsize,
            x_image=x.strides[0],
            x_row=down * x.strides[1],
            x_pixel=right * x.strides[2],
            outer_count=height,
            outer_step=self.window.dilation[0] * x.strides[1],
            middle_count=1 if is_run else width,
            middle_step=self.window.dilation[1] * x.strides[2],
            run=width * self.elements if is_run else self.elements,
            y_start=target.margin.top * out.strides[1]
            + target.margin.left * out.strides[2]
            + (self.first_channel // 8 if bits else self.first_channel * out.itemsize),
            y_image=out.strides[0],
            y_row=out.strides[1],
            y_pixel=out.strides[2],
            y_vector=lanes // 8 if bits else lanes * out.itemsize,
            wide_blocks=-(-self.channels // lanes) // WIDE,
            w_vector=height * width * self.elements * weights.VECTOR_BYTES,
            table_vector=lanes * self.table.itemsize,
            table_row=self.table.strides[0],
        )


def _start(buffer: Array) -> Array:
    """The first element of a buffer: the kernel needs only its type and address.

    Numba compiles a version for each memory layout; this way there is one.
    """
    return np.lib.stride_tricks.as_strided(buffer, (1,), (buffer.itemsize,))
