"""The window of a convolution or a pooling, and how it meets the border."""

from dataclasses import dataclass, replace
from typing import Self

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
"""Top, left, bottom, right."""

NO_PADS: Pads = (0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Where the outputs of a layer look.

    Attributes:
        kernel: Height and width.
        strides: Vertical and horizontal.
        dilations: Vertical and horizontal.
        pads: Pixels around the map.
    """

    kernel: Pair
    strides: Pair = (1, 1)
    dilations: Pair = (1, 1)
    pads: Pads = NO_PADS

    @property
    def extent(self) -> Pair:
        """Pixels from the first to the last that an output looks at, (height, width)."""
        height, width = (d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))
        return height, width

    @property
    def has_gaps(self) -> bool:
        """Whether there are pixels between a window and the next one, along an axis."""
        return any(e < stride for e, stride in zip(self.extent, self.strides, strict=True))

    def output(self, size: Pair) -> Pair:
        """The map (height, width) that comes of one of that size; 0 or less where none does."""
        spans = (size[0] + self.pads[0] + self.pads[2], size[1] + self.pads[1] + self.pads[3])
        height, width = (
            (span - extent) // stride + 1
            for span, extent, stride in zip(spans, self.extent, self.strides, strict=True)
        )
        return height, width

    def same_pads(self, size: Pair) -> Pads:
        """The pads that TFLite's padding SAME gives a map of that size."""
        totals = [
            max((-(-n // stride) - 1) * stride + extent - n, 0)
            for n, extent, stride in zip(size, self.extent, self.strides, strict=True)
        ]
        top, left = (total // 2 for total in totals)
        return top, left, totals[0] - top, totals[1] - left

    def is_same(self, size: Pair) -> bool:
        """Whether TFLite's padding SAME gives the same on a map of that size.

        Pads that no output looks at, as behind a stride, do not matter.
        """
        output = self.output(size)
        ends = [
            (count - 1) * stride + extent - n - before
            for count, stride, extent, n, before in zip(
                output, self.strides, self.extent, size, self.pads[:2], strict=True
            )
        ]
        used = (*self.pads[:2], max(ends[0], 0), max(ends[1], 0))
        counts = tuple(-(-n // stride) for n, stride in zip(size, self.strides, strict=True))
        return output == counts and used == self.same_pads(size)

    def with_pads(self, pads: Pads) -> Self:
        """The window with other pads."""
        return replace(self, pads=pads)
