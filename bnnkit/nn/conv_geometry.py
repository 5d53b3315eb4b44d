"""The sizes of a convolution of one, two or three dimensions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor
from torch.nn import functional

from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments

Sizes = tuple[int, ...]
"""One number for each axis of a map, such as (vertical, horizontal)."""
IntOrSizes = int | Sequence[int]
_CONVOLVE: Final = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
"""Torch's functions by the number of axes."""
_COUNTS: Final = {1: "one int", 2: "one or two ints", 3: "one or three ints"}


@dataclass(frozen=True)
class ConvGeometry:
    """Channels, kernel, stride, padding, dilation and groups.

    Sizes have a number for each axis of a map: (length,), (vertical, horizontal), or (depth,
    vertical, horizontal).

    Raises:
        UsageError: If the sizes are inconsistent.
    """

    in_channels: int
    out_channels: int
    kernel_size: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    groups: int

    @classmethod
    def of(
        cls,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrSizes,
        stride: IntOrSizes,
        padding: IntOrSizes,
        dilation: IntOrSizes,
        groups: int,
        n_axes: int = 2,
    ) -> "ConvGeometry":
        """Create a geometry of maps with `n_axes` axes; an int stands for all of them."""
        return cls(
            arguments.integer("in_channels", in_channels),
            arguments.integer("out_channels", out_channels),
            as_sizes("kernel_size", kernel_size, 1, n_axes),
            as_sizes("stride", stride, 1, n_axes),
            as_sizes("padding", padding, 0, n_axes),
            as_sizes("dilation", dilation, 1, n_axes),
            arguments.integer("groups", groups),
        )

    def __post_init__(self) -> None:
        for name in ("in_channels", "out_channels"):
            channels = getattr(self, name)
            if channels % self.groups:
                raise UsageError(
                    f"expected {name} to be a positive multiple of groups={self.groups}, "
                    f"got {channels}"
                )

    @property
    def weight_shape(self) -> Sizes:
        """(O, I/G, KH, KW), with the kernel's axes."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def output_shape(self, x: Tensor) -> Sizes:
        """Return (N, O, H', W') for an input of shape (N, I, H, W)."""
        sizes = (
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, padding, dilation in zip(
                x.shape[2:],
                self.kernel_size,
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        )
        return x.shape[0], self.out_channels, *sizes

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None, *, padding_value: float = 0.0
    ) -> Tensor:
        """Convolve x (N, I, H, W) with weight (O, I/G, KH, KW), and add the bias (O,)."""
        padding = self.padding
        if padding_value and any(padding):
            # Torch takes the pads of the last axis first.
            pads = [pixels for size in reversed(padding) for pixels in (size, size)]
            x = functional.pad(x, pads, value=padding_value)
            padding = (0,) * len(padding)
        convolve = _CONVOLVE[len(self.kernel_size)]
        y: Tensor = convolve(x, weight, bias, self.stride, padding, self.dilation, self.groups)
        return y

    def __str__(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        defaults = {"stride": 1, "padding": 0, "dilation": 1}
        for name, default in (
            *((name, (number,) * len(self.kernel_size)) for name, number in defaults.items()),
            ("groups", 1),
        ):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


def as_sizes(name: str, value: IntOrSizes, lowest: int, n_axes: int) -> Sizes:
    """Return a number for each axis, each at least `lowest`; an int stands for all of them.

    Raises:
        UsageError: If there are not as many numbers as axes, or one is too low.
    """
    several = isinstance(value, Iterable) and not arguments.is_scalar(value)
    given = tuple(value) if several else (value,) * n_axes  # type: ignore[arg-type]
    try:
        if len(given) == n_axes:
            return tuple(arguments.integer(name, number, at_least=lowest) for number in given)
    except UsageError:
        pass  # the error below names all forms
    raise UsageError(
        f"expected {name} to be {_COUNTS[n_axes]} of at least {lowest}, got {value!r}"
    )
