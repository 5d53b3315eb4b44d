"""MeliusNet: binary convolutions that add channels, each followed by one that improves them."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.classifier import Classifier
from bnnkit.models.first_layer import ToAutocast, first_conv, image_shape

_WIDTH_MULTIPLE = 16
"""The grouped convolutions of the stem have W/2 channels in 8 groups at most."""
_SECTIONS = ((4, 160), (5, 224), (4, 256), (4, None))
"""Of each section of MeliusNet-22: its pairs of blocks, and the channels behind it (W = 64)."""


class DenseBlock(nn.Module):
    """y = cat(x, conv(sign(norm(x)))): a binary 3x3 convolution adds channels.

    Input: (N, C, H, W), real-valued. Output: (N, C + growth, H, W).

    Args:
        channels: C.
        growth: The number of new channels.
        binary: Creates the sign and the convolution.
    """

    def __init__(self, channels: int, growth: int, binary: BinaryParts) -> None:
        super().__init__()
        self.new = _convolved(channels, growth, binary)

    def forward(self, x: Tensor) -> Tensor:
        """Join the input and the new channels."""
        return torch.cat([x, self.new(x)], 1)


class ImprovementBlock(nn.Module):
    """A binary 3x3 convolution of all channels is added to the last ones.

    Input and output: (N, C, H, W), real-valued.

    Args:
        channels: C.
        growth: The number of channels that are improved.
        binary: Creates the sign and the convolution.
    """

    def __init__(self, channels: int, growth: int, binary: BinaryParts) -> None:
        super().__init__()
        self.growth = growth
        self.improvement = _convolved(channels, growth, binary)

    def forward(self, x: Tensor) -> Tensor:
        """Add the convolution to the last channels."""
        old, new = x[:, : -self.growth], x[:, -self.growth :]
        return torch.cat([old, new + self.improvement(x)], 1)


class MeliusNet(Classifier):
    """A grouped stem - 4 sections of dense and improvement blocks - average pool - FC.

    The sections have 4, 5, 4 and 4 pairs of blocks; each pair adds W channels. Between sections, a
    max pool halves the size, and a real-valued 1x1 convolution reduces the channels to about half:
    to 5/2 W, 7/2 W and 4 W. The stem is three 3x3 convolutions in 1, 4 and 8 groups, and a max
    pool. The paper's MeliusNet-22 has W = 64. The binary layers are the 34 convolutions of the
    blocks.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W); H and W are multiples of 32.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W, a multiple of 16.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    Raises:
        UsageError: If the width is not a multiple of 16.

    References:
        Bethge et al., MeliusNet: Can Binary Neural Networks Achieve MobileNet-level Accuracy?,
        2020, https://arxiv.org/abs/2001.05936.
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
        if width % _WIDTH_MULTIPLE:
            raise UsageError(
                f"expected a width that is a multiple of {_WIDTH_MULTIPLE}, got {width}"
            )
        channels, _, _ = image_shape(input_shape, multiple_of=32)
        binary = BinaryParts(**options)
        blocks, n_features = _sections(width, binary)
        features = (
            *_stem(first_conv(channels, width // 2, 3, zero_point=zero_point, stride=2), width),
            ToAutocast(),
            *blocks,
            nn.BatchNorm2d(n_features),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        super().__init__(features, n_features, n_classes)


def _stem(first: nn.Module, width: int) -> Iterator[nn.Module]:
    half = width // 2
    yield from (first, nn.BatchNorm2d(half), nn.ReLU())
    for outputs, groups in ((half, 4), (width, 8)):
        yield nn.Conv2d(half, outputs, 3, padding=1, groups=groups, bias=False)
        yield from (nn.BatchNorm2d(outputs), nn.ReLU())
    yield nn.MaxPool2d(3, 2, 1)


def _sections(width: int, binary: BinaryParts) -> tuple[list[nn.Module], int]:
    """Create the blocks of all sections; return them and the channels of the last."""
    blocks, channels = list[nn.Module](), width
    for pairs, reduced in _SECTIONS:
        for _ in range(pairs):
            blocks.append(DenseBlock(channels, width, binary))
            channels += width
            blocks.append(ImprovementBlock(channels, width, binary))
        if reduced is not None:
            blocks += _transition(channels, reduced * width // 64)
            channels = reduced * width // 64
    return blocks, channels


def _transition(in_channels: int, out_channels: int) -> Iterator[nn.Module]:
    yield from (nn.BatchNorm2d(in_channels), nn.MaxPool2d(2), nn.ReLU())
    yield nn.Conv2d(in_channels, out_channels, 1, bias=False)


def _convolved(in_channels: int, out_channels: int, binary: BinaryParts) -> nn.Sequential:
    norm, sign = nn.BatchNorm2d(in_channels), binary.quantizer()
    return nn.Sequential(norm, sign, binary.conv(in_channels, out_channels))
