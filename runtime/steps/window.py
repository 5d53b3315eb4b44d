"""The sliding window of a convolution or a pooling."""

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class KernelWindow:
    """Geometry of a sliding window, in pixels. Pairs are (vertical, horizontal).

    Attributes:
        size: Kernel size (KH, KW).
        stride: Distance of neighbouring windows.
        dilation: Distance of neighbouring taps.
        padding: Pixels before the first row and the first column.
        output: Size of the result (OH, OW).
    """

    size: Pair
    stride: Pair
    dilation: Pair
    padding: Pair
    output: Pair

    @property
    def fields(self) -> tuple[int, ...]:
        """Size, stride, dilation and padding, in the order of PoolRecord and DepthwiseRecord."""
        return (*self.size, *self.stride, *self.dilation, *self.padding)
