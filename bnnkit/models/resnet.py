"""Residual networks in which each binary convolution has a real-valued skip."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.first_layer import ToAutocast, first_conv, image_shape
from bnnkit.models.last_layer import LastLinear
from bnnkit.models.rprelu import ChannelShift, RPReLU

SKIPS = ("pool", "average", "conv")
ACTIVATIONS = ("none", "rprelu")
STEMS = ("3x3", "7x7")


class BinaryResidual(nn.Module):
    """y = activation(skip(x) + batch_norm(conv(sign(x)))), with a binary convolution.

    If neither channels nor size change, skip(x) is x.

    Input: (N, I, H, W), real-valued. Output: (N, O, H / stride, W / stride).

    Args:
        in_channels: I.
        out_channels: O, a multiple of I.
        stride: 1 or 2.
        binary: Creates the sign and the convolution.
        kernel_size: Of the convolution, which is padded by half of it.
        skip: "pool": with stride 2, skip(x) is the 2x2 max pool of x; with more channels, x is
            repeated along the channels. Such a skip has no parameters and no sums, so every engine
            computes the same bits. "average": the same with the average pool. "conv": the 2x2
            average pool, a real-valued 1x1 convolution and batch norm.
        activation: "none", or "rprelu", which also adds a learned shift before the sign.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        binary: BinaryParts,
        *,
        kernel_size: int = 3,
        skip: str = "pool",
        activation: str = "none",
    ) -> None:
        super().__init__()
        is_active = activation == "rprelu"
        self.shift = ChannelShift(in_channels) if is_active else nn.Identity()
        self.sign = binary.quantizer()
        self.conv = binary.conv(in_channels, out_channels, kernel_size, stride=stride)
        self.norm = nn.BatchNorm2d(out_channels)
        self.n_copies = 1
        if skip == "conv" and (in_channels != out_channels or stride > 1):
            self.pool: nn.Module = _conv_skip(in_channels, out_channels, stride)
        else:
            pool = nn.AvgPool2d if skip == "average" else nn.MaxPool2d
            self.pool = pool(stride) if stride > 1 else nn.Identity()
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
    """Bi-Real ResNet-18: a stem, 16 binary residuals, average pool, FC.

    Four stages of four residuals, with W, 2W, 4W, 8W channels; the later three stages begin with
    stride 2. The stem, the skips and the last layer are not binary. With a 7x7 stem and convolved
    skips it is the paper's network; with RPReLU and learned shifts before signs too, it is the
    ResNet-18 of ReActNet.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W); H and W are multiples of 8, or of 32 with a 7x7 stem.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W.
        stem: "3x3", for small images, or "7x7": a 7x7 convolution and a 3x3 max pool, each with
            stride 2, as for ImageNet.
        skip: "pool", "average" or "conv", as in `BinaryResidual`.
        activation: "none" or "rprelu", as in `BinaryResidual`; also after a 3x3 stem.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    Raises:
        UsageError: If the stem, the skip or the activation is unknown.

    References:
        Liu et al., Bi-Real Net, ECCV 2018, https://arxiv.org/abs/1808.00278.
        Liu et al., ReActNet, ECCV 2020, https://arxiv.org/abs/2003.03488.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 64,
        stem: str = "3x3",
        skip: str = "pool",
        activation: str = "none",
        **options: Unpack[BinaryOptions],
    ) -> None:
        super().__init__()
        _check("a stem", stem, STEMS)
        _check("a skip", skip, SKIPS)
        _check("an activation", activation, ACTIVATIONS)
        binary = BinaryParts(**options)
        channels, _, _ = image_shape(input_shape, multiple_of=32 if stem == "7x7" else 8)

        def stage(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
            sizes = [(in_channels, out_channels, stride), *[(out_channels, out_channels, 1)] * 3]
            return [
                BinaryResidual(*size, binary, skip=skip, activation=activation) for size in sizes
            ]

        after: list[nn.Module] = [RPReLU(width)] if activation == "rprelu" else []
        conv = first_conv(channels, width, 3, zero_point=zero_point)
        if stem == "7x7":
            conv = first_conv(channels, width, 7, zero_point=zero_point, stride=2)
            after = [nn.MaxPool2d(3, 2, 1)]
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(width), *after, ToAutocast())
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
