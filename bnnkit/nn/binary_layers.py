"""Linear maps with binary weights, for inputs in {-1, +1}."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from bnnkit.nn.base import arguments
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.placement import Device, convert, made_on
from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.channel_scale import channel_scale, scaled
from bnnkit.nn.conv_geometry import ConvGeometry, IntOrSizes
from bnnkit.nn.weight_rules import WeightRule

_PADDING_VALUES = {"ones": 1.0, "zeros": 0.0}


class BinaryLinear(nn.Module):
    """$y = x w^T$ (+ bias), with binary weights w drawn from the latent ones by `BinaryWeight`.

    Input x: (N, ..., I), such as tokens (N, T, I), values in {-1, +1}; the layer does not take
    signs itself. Output: (N, ..., O). Without a bias it holds integers, exact in float32. Under
    bfloat16 autocast an integer above 256 is rounded (above 2048 under float16), which is noise in
    training; evaluate in float32.

    Args:
        in_features: I.
        out_features: O.
        bias: Add a real-valued bias (O,).
        noise: The noise of the weights, or its name; None is the default of the rule.
        weight_rule: How latent weights become weights, or the rule's name; `docs/estimators.md`
            compares them.
        weight_rule_options: The options of a rule given by name.
        scale: Multiply each output channel by a real number: "learned", a parameter; "mean-abs",
            the mean of its |eta|. "none" by default, because a following batch norm scales too.
        device: Where parameters and buffers are made; None is torch's default.
        dtype: Their floating-point dtype; None is torch's default, float32.

    Attributes:
        latent: The latent weights eta, (O, I).

    Raises:
        UsageError: If a size is below 1; the noise, the rule or an option is unknown; or noise and
            rule cannot be combined.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        noise: str | Noise | None = None,
        weight_rule: str | WeightRule = "mirror-descent",
        weight_rule_options: Mapping[str, Any] | None = None,
        scale: str = "none",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = arguments.integer("in_features", in_features)
        self.out_features = arguments.integer("out_features", out_features)
        arguments.flag("bias", bias)
        with made_on(device):
            self.binary_weight = BinaryWeight(noise, weight_rule, weight_rule_options)
            self.latent = nn.Parameter(
                self.binary_weight.initial((self.out_features, self.in_features))
            )
            self.bias = nn.Parameter(torch.zeros(self.out_features)) if bias else None
            self.scale = channel_scale(scale, self.latent)
        convert(self, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the sums of products with the binary weights."""
        weight = self.binary_weight(self.latent)
        if self.scale is None:
            return functional.linear(x, weight, self.bias)
        return scaled(functional.linear(x, weight), self.scale(self.latent), self.bias, -1)

    def extra_repr(self) -> str:
        """Return the arguments for print(model)."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class BinaryConvolution(nn.Module):
    """What `BinaryConv1d`, `BinaryConv2d` and `BinaryConv3d` share; their docstrings tell more."""

    _n_axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrSizes,
        stride: IntOrSizes = 1,
        padding: IntOrSizes = 0,
        dilation: IntOrSizes = 1,
        groups: int = 1,
        bias: bool = False,
        padding_value: str = "ones",
        noise: str | Noise | None = None,
        weight_rule: str | WeightRule = "mirror-descent",
        weight_rule_options: Mapping[str, Any] | None = None,
        scale: str = "none",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        arguments.choice("a padding value", padding_value, _PADDING_VALUES)
        arguments.flag("bias", bias)
        self.geometry = ConvGeometry.of(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, self._n_axes
        )
        self.padding_value = padding_value
        with made_on(device):
            self.binary_weight = BinaryWeight(noise, weight_rule, weight_rule_options)
            self.latent = nn.Parameter(self.binary_weight.initial(self.geometry.weight_shape))
            self.bias = nn.Parameter(torch.zeros(self.geometry.out_channels)) if bias else None
            self.scale = channel_scale(scale, self.latent)
        convert(self, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the sums of products with the binary weights."""
        weight, padding = self.binary_weight(self.latent), _PADDING_VALUES[self.padding_value]
        if self.scale is None:
            return self.geometry.convolve(x, weight, self.bias, padding_value=padding)
        sums = self.geometry.convolve(x, weight, padding_value=padding)
        return scaled(sums, self.scale(self.latent), self.bias, 1)

    def extra_repr(self) -> str:
        """Return the arguments for print(model)."""
        return (
            f"{self.geometry}, bias={self.bias is not None}, padding_value={self.padding_value!r}"
        )


class BinaryConv1d(BinaryConvolution):
    """1D convolution with binary weights drawn from the latent ones by `BinaryWeight`.

    Input: (N, I, L), values in {-1, +1}; the layer does not take signs itself. Output: (N, O, L'),
    with L' as in `torch.nn.Conv1d`. Sums are exact, as in `BinaryConv2d`. A file has it as a
    convolution of maps of height 1. The arguments are those of `BinaryConv2d`; sizes are one int.

    Attributes:
        latent: The latent weights eta, (O, I/G, K).

    Raises:
        UsageError: As `BinaryConv2d`.
    """

    _n_axes = 1


class BinaryConv2d(BinaryConvolution):
    """2D convolution with binary weights drawn from the latent ones by `BinaryWeight`.

    Input: (N, I, H, W), values in {-1, +1}; the layer does not take signs itself. Output:
    (N, O, H', W'), with H' and W' as in `torch.nn.Conv2d`. Without a bias it holds integers,
    exact in float32. Under bfloat16 autocast an integer above 256 is rounded (above 2048 under
    float16), which is noise in training; evaluate in float32. On a GPU leave
    `torch.backends.cudnn.allow_tf32` on, as it is by default: +-1 is exact in TF32, while the
    Winograd kernels that cuDNN uses without TF32 are off by 1e-4.

    Args:
        in_channels: I.
        out_channels: O.
        kernel_size: Height and width of the kernel; one int for both.
        stride: Step between outputs.
        padding: Pixels added at each side; an int, or a pair (vertical, horizontal).
        dilation: Step between kernel elements.
        groups: G; I and O are multiples of it.
        bias: Add a real-valued bias (O,).
        padding_value: "ones" pads with +1, which needs no second bit; "zeros" with 0.
        noise: The noise of the weights, or its name; None is the default of the rule.
        weight_rule: How latent weights become weights, or the rule's name; `docs/estimators.md`
            compares them.
        weight_rule_options: The options of a rule given by name.
        scale: Multiply each output channel by a real number: "learned", a parameter; "mean-abs",
            the mean of its |eta|. "none" by default, because a following batch norm scales too.
        device: Where parameters and buffers are made; None is torch's default.
        dtype: Their floating-point dtype; None is torch's default, float32.

    Attributes:
        latent: The latent weights eta, (O, I/G, KH, KW).

    Raises:
        UsageError: If the sizes are inconsistent; the padding value, the noise, the rule or an
            option is unknown; or noise and rule cannot be combined.
    """

    _n_axes = 2


class BinaryConv3d(BinaryConvolution):
    """3D convolution with binary weights drawn from the latent ones by `BinaryWeight`.

    Input: (N, I, D, H, W), values in {-1, +1}; the layer does not take signs itself. Output:
    (N, O, D', H', W'), as in `torch.nn.Conv3d`. Sums are exact, as in `BinaryConv2d`. A file
    stores its weights as bits and computes it in float, since no packed operator has this form.
    The arguments are those of `BinaryConv2d`; sizes are one int, or three for depth, height and
    width.

    Attributes:
        latent: The latent weights eta, (O, I/G, KD, KH, KW).

    Raises:
        UsageError: As `BinaryConv2d`.
    """

    _n_axes = 3
