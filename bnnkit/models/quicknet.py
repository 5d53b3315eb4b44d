"""QuickNet, the network that Larq Compute Engine's authors made for fast binary inference."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.classifier import Classifier
from bnnkit.models.first_layer import ToAutocast, first_conv, image_shape

_BLOCKS = 4
"""Residuals of each section."""
_SECTIONS = (1, 2, 4, 8)
"""Channels of each section, in units of the width."""


class QuickResidual(nn.Module):
    """y = x + norm(relu(conv(sign(x)))), with a binary 3x3 convolution.

    Input and output: (N, C, H, W), real-valued.

    Args:
        channels: C.
        binary: Creates the sign and the convolution.
    """

    def __init__(self, channels: int, binary: BinaryParts) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            binary.quantizer(),
            binary.conv(channels, channels),
            nn.ReLU(),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the sum of the input and the convolution."""
        y: Tensor = x + self.residual(x)
        return y


class BlurPool(nn.Module):
    """A depthwise 3x3 convolution with stride 2 and fixed binomial weights, (1, 2, 1) each way.

    Input: (N, C, H, W). Output: (N, C, ceil(H / 2), ceil(W / 2)).

    Args:
        channels: C.

    References:
        Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019,
        https://arxiv.org/abs/1904.11486.
    """

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        weight = torch.outer(line, line).expand(channels, 1, 3, 3).contiguous()
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the blurred map at every second pixel."""
        return functional.conv2d(x, self.weight, stride=2, padding=1, groups=len(self.weight))


class QuickNet(Classifier):
    """A stem of three convolutions - 4 sections of 4 binary residuals - average pool - FC.

    The stem reduces the size four times: W/4 C3 stride 2, a depthwise C3 stride 2, W C1. Between
    sections, a max pool that is blurred halves the size, and a 1x1 convolution doubles the
    channels: W, 2W, 4W, 8W. Only the 16 3x3 convolutions of the residuals are binary. The paper's
    network has W = 64.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W); H and W are multiples of 32.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W, a multiple of 4.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    Raises:
        UsageError: If the width is not a multiple of 4.

    References:
        Bannink et al., Larq Compute Engine: Design, Benchmark, and Deploy State-of-the-Art
        Binarized Neural Networks, MLSys 2021, https://arxiv.org/abs/2011.09398.
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
        if width % 4:
            raise UsageError(f"expected a width that is a multiple of 4, got {width}")
        channels, _, _ = image_shape(input_shape, multiple_of=32)
        first = first_conv(channels, width // 4, 3, zero_point=zero_point, stride=2)
        features = (
            *_stem(first, width),
            ToAutocast(),
            *_sections(width, BinaryParts(**options)),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        super().__init__(features, _SECTIONS[-1] * width, n_classes)


def _stem(first: nn.Module, width: int) -> Iterator[nn.Module]:
    narrow = width // 4
    yield from (first, nn.BatchNorm2d(narrow), nn.ReLU())
    yield nn.Conv2d(narrow, narrow, 3, 2, 1, groups=narrow, bias=False)
    yield nn.BatchNorm2d(narrow)
    yield from _pointwise(narrow, width)


def _sections(width: int, binary: BinaryParts) -> Iterator[nn.Module]:
    before = width
    for factor in _SECTIONS:
        channels = factor * width
        if channels != before:
            yield from (nn.ReLU(), nn.MaxPool2d(3, 1, 1), BlurPool(before))
            yield from _pointwise(before, channels)
        for _ in range(_BLOCKS):
            yield QuickResidual(channels, binary)
        before = channels


def _pointwise(in_channels: int, out_channels: int) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return conv, nn.BatchNorm2d(out_channels)
