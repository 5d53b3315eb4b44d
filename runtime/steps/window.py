"""A window that moves over a map: of a convolution or of a pooling."""

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Window:
    """How it moves; pairs are vertical and horizontal.

    Attributes:
        size: KH and KW.
        stride: In pixels.
        dilation: In pixels.
        padding: Pixels before the first row and column, all that a margin must give.
        output: Height and width of the result.
    """

    size: Pair
    stride: Pair
    dilation: Pair
    padding: Pair
    output: Pair

    @property
    def fields(self) -> tuple[int, ...]:
        """Size, stride, dilation and padding, as a kernel's record has them."""
        return (*self.size, *self.stride, *self.dilation, *self.padding)
