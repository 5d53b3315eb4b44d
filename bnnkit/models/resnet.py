"""A residual network: each 3x3 convolution is binary and has a real-valued skip of its own."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.first_layer import first_conv, image_shape


class BinaryResidual(nn.Module):
    """y = skip(x) + batch_norm(conv(sign(x))), with a binary 3x3 convolution.

    With stride 2, skip(x) is the 2x2 max pool of x; with twice the channels, x beside itself. So
    the skip has no parameters and adds nothing up, and every engine gets the same bits from it.

    Input: (N, I, H, W), real-valued. Output: (N, O, H / stride, W / stride).

    Args:
        in_channels: I.
        out_channels: O, a multiple of I.
        stride: 1 or 2.
        binary: Makes the sign and the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        binary: BinaryParts,
    ) -> None:
        super().__init__()
        self.sign = binary.sign()
        self.conv = binary.conv(in_channels, out_channels, stride=stride)
        self.norm = nn.BatchNorm2d(out_channels)
        self.pool = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
        self.n_copies = out_channels // in_channels

    def forward(self, x: Tensor) -> Tensor:
        """The sum of skip and convolution."""
        skip = self.pool(x)
        if self.n_copies > 1:
            skip = torch.cat([skip] * self.n_copies, dim=1)
        total: Tensor = skip + self.norm(self.conv(self.sign(x)))
        return total


class ResNet18(nn.Module):
    """Bi-Real ResNet-18 for small images: 3x3 stem, 16 binary residuals, average pool, FC.

    Four stages of four residuals, with W, 2W, 4W, 8W channels; the later three stages begin with
    stride 2. The stem and the last layer are not binary.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W); H and W are multiples of 8.
        n_classes: Number of outputs.
        zero_point: Zero point of each input channel; None for real-valued inputs.
        width: W.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

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
        **options: Unpack[BinaryOptions],
    ) -> None:
        super().__init__()
        binary = BinaryParts(**options)
        channels, _, _ = image_shape(input_shape, multiple_of=8)

        def stage(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
            first = BinaryResidual(in_channels, out_channels, stride, binary)
            rest = (BinaryResidual(out_channels, out_channels, 1, binary) for _ in range(3))
            return [first, *rest]

        self.stem = nn.Sequential(
            first_conv(channels, width, 3, zero_point=zero_point), nn.BatchNorm2d(width)
        )
        self.residuals = nn.Sequential(
            *stage(width, width, 1),
            *stage(width, 2 * width, 2),
            *stage(2 * width, 4 * width, 2),
            *stage(4 * width, 8 * width, 2),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(8 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        features = self.flatten(self.pool(self.residuals(self.stem(x))))
        logits: Tensor = self.classifier(features)
        return logits
