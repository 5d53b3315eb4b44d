"""The sizes of a two-dimensional convolution."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments

Pair = tuple[int, int]
IntOrPair = int | Sequence[int]


@dataclass(frozen=True)
class ConvGeometry:
    """Channels, kernel, stride, padding, dilation and groups; pairs are (vertical, horizontal).

    Raises:
        UsageError: If the sizes are inconsistent.
    """

    in_channels: int
    out_channels: int
    kernel_size: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @classmethod
    def of(
        cls,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair,
        padding: IntOrPair,
        dilation: IntOrPair,
        groups: int,
    ) -> "ConvGeometry":
        """Create a geometry; an int stands for both values of a pair."""
        return cls(
            arguments.integer("in_channels", in_channels),
            arguments.integer("out_channels", out_channels),
            _pair("kernel_size", kernel_size, 1),
            _pair("stride", stride, 1),
            _pair("padding", padding, 0),
            _pair("dilation", dilation, 1),
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
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(O, I/G, KH, KW)."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def output_shape(self, x: Tensor) -> tuple[int, int, int, int]:
        """Return (N, O, H', W') for an input of shape (N, I, H, W)."""
        height, width = (
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
        return x.shape[0], self.out_channels, height, width

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None, *, padding_value: float = 0.0
    ) -> Tensor:
        """Convolve x (N, I, H, W) with weight (O, I/G, KH, KW), and add the bias (O,)."""
        padding = self.padding
        if padding_value and any(padding):
            vertical, horizontal = padding
            x = functional.pad(
                x, (horizontal, horizontal, vertical, vertical), value=padding_value
            )
            padding = (0, 0)
        return functional.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.groups)

    def __str__(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for name, default in (
            ("stride", (1, 1)),
            ("padding", (0, 0)),
            ("dilation", (1, 1)),
            ("groups", 1),
        ):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


def _pair(name: str, value: IntOrPair, lowest: int) -> Pair:
    several = isinstance(value, Iterable) and not arguments.is_scalar(value)
    pair = tuple(value) if several else (value, value)  # type: ignore[arg-type]
    try:
        first, second = (arguments.integer(name, number, at_least=lowest) for number in pair)
    except ValueError as error:  # not two, or one is no integer
        raise UsageError(
            f"expected {name} to be one or two ints of at least {lowest}, got {value!r}"
        ) from error
    return first, second
