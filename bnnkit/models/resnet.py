"""A residual network in which each 3x3 convolution is binary and has a real-valued skip."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.first_layer import ToAutocast, first_conv, image_shape
from bnnkit.models.last_layer import LastLinear
from bnnkit.models.rprelu import ChannelShift, RPReLU

SKIPS = ("pool", "conv")
ACTIVATIONS = ("none", "rprelu")


class BinaryResidual(nn.Module):
    """y = activation(skip(x) + batch_norm(conv(sign(x)))), with a binary 3x3 convolution.

    If neither channels nor size change, skip(x) is x.

    Input: (N, I, H, W), real-valued. Output: (N, O, H / stride, W / stride).

    Args:
        in_channels: I.
        out_channels: O, a multiple of I.
        stride: 1 or 2.
        binary: Creates the sign and the convolution.
        skip: "pool": with stride 2, skip(x) is the 2x2 max pool of x; with more channels, x is
            repeated along the channels. Such a skip has no parameters and no sums, so every engine
            computes the same bits. "conv": the 2x2 average pool, a real-valued 1x1 convolution and
            batch norm.
        activation: "none", or "rprelu", which also adds a learned shift before the sign.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        binary: BinaryParts,
        *,
        skip: str = "pool",
        activation: str = "none",
    ) -> None:
        super().__init__()
        is_active = activation == "rprelu"
        self.shift = ChannelShift(in_channels) if is_active else nn.Identity()
        self.sign = binary.quantizer()
        self.conv = binary.conv(in_channels, out_channels, stride=stride)
        self.norm = nn.BatchNorm2d(out_channels)
        self.n_copies = 1
        if skip == "conv" and (in_channels != out_channels or stride > 1):
            self.pool: nn.Module = _conv_skip(in_channels, out_channels, stride)
        else:
            self.pool = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
            self.n_copies = out_channels // in_channels
        self.activation = RPReLU(out_channels) if is_active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Compute the activation of the sum of skip and convolution."""
        skip = self.pool(x)
        if self.n_copies > 1:
            skip = torch.cat([skip] * self.n_copies, dim=1)
        total: Tensor = self.activation(skip + self.norm(self.conv(self.sign(self.shift(x)))))
        return total


class ResNet18(nn.Module):
    """Bi-Real ResNet-18 for small images: 3x3 stem, 16 binary residuals, average pool, FC.

    Four stages of four residuals, with W, 2W, 4W, 8W channels; the later three stages begin with
    stride 2. The stem, the skips and the last layer are not binary.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W); H and W are multiples of 8.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W.
        skip: "pool" or "conv", as in `BinaryResidual`.
        activation: "none" or "rprelu", as in `BinaryResidual`; also after the stem.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    Raises:
        UsageError: If the skip or the activation is unknown.

    References:
        Liu et al., Bi-Real Net, ECCV 2018, https://arxiv.org/abs/1808.00278.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 64,
        skip: str = "pool",
        activation: str = "none",
        **options: Unpack[BinaryOptions],
    ) -> None:
        super().__init__()
        _check("a skip", skip, SKIPS)
        _check("an activation", activation, ACTIVATIONS)
        binary = BinaryParts(**options)
        channels, _, _ = image_shape(input_shape, multiple_of=8)

        def stage(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
            sizes = [(in_channels, out_channels, stride), *[(out_channels, out_channels, 1)] * 3]
            return [
                BinaryResidual(*size, binary, skip=skip, activation=activation) for size in sizes
            ]

        self.stem = nn.Sequential(
            first_conv(channels, width, 3, zero_point=zero_point), nn.BatchNorm2d(width)
        )
        if activation == "rprelu":
            self.stem.append(RPReLU(width))
        self.stem.append(ToAutocast())
        self.residuals = nn.Sequential(
            *stage(width, width, 1),
            *stage(width, 2 * width, 2),
            *stage(2 * width, 4 * width, 2),
            *stage(4 * width, 8 * width, 2),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = LastLinear(8 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        features = self.flatten(self.pool(self.residuals(self.stem(x))))
        logits: Tensor = self.classifier(features)
        return logits


def _conv_skip(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    pools = [nn.AvgPool2d(stride)] if stride > 1 else []
    conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return nn.Sequential(*pools, conv, nn.BatchNorm2d(out_channels))


def _check(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"expected {what} out of {', '.join(known)}, got {value!r}")
