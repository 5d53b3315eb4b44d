"""Transposed convolutions with binary weights, for inputs in {-1, +1}."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.placement import Device, convert, made_on
from bnnkit.nn.conv_geometry import ConvGeometry, IntOrSizes, as_sizes
from bnnkit.nn.transposed_weight import TransposedBinaryWeight
from bnnkit.nn.weight_rules import WeightRule

_CONVOLVE: Final = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d}
"""Torch's functions by the number of axes."""


class BinaryTransposedConvolution(nn.Module):
    """What `BinaryConvTranspose1d` and `BinaryConvTranspose2d` share."""

    _n_axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrSizes,
        stride: IntOrSizes = 1,
        padding: IntOrSizes = 0,
        output_padding: IntOrSizes = 0,
        groups: int = 1,
        bias: bool = False,
        dilation: IntOrSizes = 1,
        noise: str | Noise | None = None,
        weight_rule: str | WeightRule = "mirror-descent",
        weight_rule_options: Mapping[str, Any] | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        arguments.flag("bias", bias)
        self.geometry = ConvGeometry.of(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, self._n_axes
        )
        self.output_padding = as_sizes("output_padding", output_padding, 0, self._n_axes)
        _check_output_padding(self.geometry, self.output_padding)
        g = self.geometry
        shape = (g.in_channels, g.out_channels // g.groups, *g.kernel_size)
        with made_on(device):
            self.binary_weight = TransposedBinaryWeight(
                g.groups, noise, weight_rule, weight_rule_options
            )
            self.latent = nn.Parameter(self.binary_weight.initial(shape))
            self.bias = nn.Parameter(torch.zeros(g.out_channels)) if bias else None
        convert(self, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the sums of products with the binary weights."""
        g, weight = self.geometry, self.binary_weight(self.latent)
        sizes = (g.stride, g.padding, self.output_padding, g.groups, g.dilation)
        y: Tensor = _CONVOLVE[self._n_axes](x, weight, self.bias, *sizes)
        return y

    def extra_repr(self) -> str:
        """Return the arguments for print(model)."""
        return (
            f"{self.geometry}, output_padding={self.output_padding}, bias={self.bias is not None}"
        )


def _check_output_padding(geometry: ConvGeometry, output_padding: tuple[int, ...]) -> None:
    steps = zip(geometry.stride, geometry.dilation, strict=True)
    if any(pad >= max(both) for pad, both in zip(output_padding, steps, strict=True)):
        raise UsageError(
            "expected an output_padding smaller than the stride or the dilation, got"
            f" {output_padding} with {geometry}"
        )


class BinaryConvTranspose1d(BinaryTransposedConvolution):
    """Transposed 1D convolution with binary weights, as `torch.nn.ConvTranspose1d`.

    Input: (N, I, L), values in {-1, +1}. Output: (N, O, L'), with L' as in torch. The arguments
    are those of `BinaryConvTranspose2d`; sizes are one int.

    Attributes:
        latent: The latent weights eta, (I, O/G, K).

    Raises:
        UsageError: As `BinaryConvTranspose2d`.
    """

    _n_axes = 1


class BinaryConvTranspose2d(BinaryTransposedConvolution):
    """Transposed 2D convolution with binary weights, as `torch.nn.ConvTranspose2d`.

    Input: (N, I, H, W), values in {-1, +1}; the layer does not take signs itself. Output:
    (N, O, H', W'), with H' and W' as in torch. Without a bias it holds integers, exact in float32:
    each is a sum over those kernel elements that meet a pixel. A file has it as one ordinary
    binary convolution for each place of an output pixel within a stride, so every engine computes
    it with packed signs. Upsampling by nearest neighbours and a `BinaryConv2d` have no such
    places, and do not leave a checkerboard.

    Args:
        in_channels: I.
        out_channels: O.
        kernel_size: Height and width of the kernel; one int for both.
        stride: Step between the outputs of neighbouring inputs.
        padding: Pixels removed at each side; an int, or a pair (vertical, horizontal).
        output_padding: Pixels added at the end of each axis, fewer than the stride or
            the dilation.
        groups: G; I and O are multiples of it.
        bias: Add a real-valued bias (O,).
        dilation: Step between kernel elements.
        noise: The noise of the weights, or its name; None is the default of the rule.
        weight_rule: How latent weights become weights, or the rule's name.
        weight_rule_options: The options of a rule given by name.
        device: Where parameters and buffers are made; None is torch's default.
        dtype: Their floating-point dtype; None is torch's default, float32.

    Attributes:
        latent: The latent weights eta, (I, O/G, KH, KW), with torch's axes.

    Raises:
        UsageError: If the sizes are inconsistent; the noise, the rule or an option is unknown; or
            noise and rule cannot be combined.
    """

    _n_axes = 2
