"""The window of a convolution or a pooling, and its padding at the border of a map."""

from dataclasses import dataclass, replace

from typing_extensions import Self

from bnnkit.tflite.schema import Padding

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
"""Top, left, bottom, right."""

NO_PADS: Pads = (0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which pixels each output of a layer depends on.

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
        """Pixels from the first to the last that an output depends on, (height, width)."""
        height, width = (d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))
        return height, width

    @property
    def has_gaps(self) -> bool:
        """Whether windows leave out pixels between them along an axis."""
        return any(e < stride for e, stride in zip(self.extent, self.strides, strict=True))

    def output(self, size: Pair) -> Pair:
        """Output size (height, width) for a map of that size; 0 or less if there is no output."""
        spans = (size[0] + self.pads[0] + self.pads[2], size[1] + self.pads[1] + self.pads[3])
        height, width = (
            (span - extent) // stride + 1
            for span, extent, stride in zip(spans, self.extent, self.strides, strict=True)
        )
        return height, width

    def same_pads(self, size: Pair) -> Pads:
        """The pads of TFLite's padding SAME for a map of that size."""
        totals = [
            max((-(-n // stride) - 1) * stride + extent - n, 0)
            for n, extent, stride in zip(size, self.extent, self.strides, strict=True)
        ]
        top, left = (total // 2 for total in totals)
        return top, left, totals[0] - top, totals[1] - left

    def is_same(self, size: Pair) -> bool:
        """Whether TFLite's padding SAME has the same effect on a map of that size.

        Pads that no output depends on, because the last stride skips them, do not matter.
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

    def padded(self, padding: Padding, size: Pair) -> Self:
        """The window with the pads of TFLite's padding for a map of that size."""
        return self.with_pads(self.same_pads(size) if padding is Padding.SAME else NO_PADS)
