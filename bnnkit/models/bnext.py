"""BNext: binary convolutions whose outputs are weighted by what their inputs and outputs hold."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.classifier import Classifier
from bnnkit.models.first_layer import ToAutocast, first_conv, image_shape
from bnnkit.models.reactnet import MOBILENET_BLOCKS
from bnnkit.models.rprelu import ChannelShift

_REDUCTION = 8
"""How many times fewer channels there are inside squeeze-and-excitation."""


class SqueezeExcitation(nn.Module):
    """A weight in (0, 1) for each channel: sigmoid(conv1x1(relu(conv1x1(average pool(x))))).

    Input: (N, C, H, W). Output: (N, C, 1, 1).

    Args:
        channels: C.

    References:
        Hu et al., Squeeze-and-Excitation Networks, CVPR 2018, https://arxiv.org/abs/1709.01507.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // _REDUCTION, 1)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the weights."""
        y: Tensor = self.weigh(x)
        return y


class RecoupledConv(nn.Module):
    """Information recoupling: y = prelu(norm(conv(sign(x + b)))), weighted by channel.

    The weights are those of squeeze-and-excitation of s x + (1 - s) y, with a learned share s of
    each channel, so that information which the sign removes is not lost.

    Input: (N, C, H, W), real-valued. Output: (N, C, H / stride, W / stride).

    Args:
        channels: C.
        kernel_size: Of the binary convolution.
        stride: 1 or 2; with 2, x is average-pooled in the sum.
        binary: Creates the sign and the convolution.
    """

    def __init__(self, channels: int, kernel_size: int, stride: int, binary: BinaryParts) -> None:
        super().__init__()
        self.convolved = nn.Sequential(
            ChannelShift(channels),
            binary.quantizer(),
            binary.conv(channels, channels, kernel_size, stride=stride),
            nn.BatchNorm2d(channels),
            nn.PReLU(channels),
        )
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.share = nn.Parameter(torch.full((channels, 1, 1), 0.5))
        self.attention = SqueezeExcitation(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the weighted output of the convolution."""
        y = self.convolved(x)
        share = self.share.clamp(0, 1).to(y.dtype)
        weighted: Tensor = self.attention(share * self.pool(x) + (1 - share) * y) * y
        return weighted


class ElmAttention(nn.Module):
    """y = norm(r * recoupled(x)) + r with r = pool(prelu(x)): element-wise attention.

    Input: (N, C, H, W). Output: (N, C, H / stride, W / stride).

    Args:
        channels: C.
        stride: 1 or 2.
        binary: Creates the sign and the 3x3 convolution.
    """

    def __init__(self, channels: int, stride: int, binary: BinaryParts) -> None:
        super().__init__()
        pools = [nn.AvgPool2d(stride)] if stride > 1 else []
        self.skip = nn.Sequential(nn.PReLU(channels), *pools)
        self.recoupled = RecoupledConv(channels, 3, stride, binary)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the skip and what attention adds to it."""
        skip = self.skip(x)
        y: Tensor = self.norm(self.recoupled(x) * skip) + skip
        return y


class FeedForward(nn.Module):
    """y = x + norm(recoupled(x)) with a 1x1 convolution, n times, joined along the channels.

    Input: (N, C, H, W). Output: (N, n C, H, W).

    Args:
        channels: C.
        n_branches: n, 1 or 2.
        binary: Creates the signs and the convolutions.
    """

    def __init__(self, channels: int, n_branches: int, binary: BinaryParts) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(RecoupledConv(channels, 1, 1, binary), nn.BatchNorm2d(channels))
            for _ in range(n_branches)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the sums of the input and each branch."""
        outputs = [x + branch(x) for branch in self.branches]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)


class BNext(Classifier):
    """W C3 stride 2 - 13 x (attention - feed-forward) - PReLU - average pool - FC.

    BNext-T of the paper with W = 32, but for its first layer and its attention, which have 8 bits
    there and are real-valued here (the first layer is an integer one for uint8 images). The binary
    layers are those of the 3x3 and 1x1 convolutions of the 13 blocks.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W); H and W are multiples of 16 times `stride`.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W; the last block has 32 W channels.
        stride: Of the first layer; 2 for ImageNet, 1 for small images.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    References:
        Guo et al., Join the High Accuracy Club on ImageNet with a Binary Neural Network Ticket,
        2022, https://arxiv.org/abs/2211.12933.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 32,
        stride: int = 2,
        **options: Unpack[BinaryOptions],
    ) -> None:
        channels, _, _ = image_shape(input_shape, multiple_of=16 * stride)
        features = (
            first_conv(channels, width, 3, zero_point=zero_point, stride=stride),
            nn.BatchNorm2d(width),
            ToAutocast(),
            *_blocks(width, BinaryParts(**options)),
            nn.PReLU(32 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        super().__init__(features, 32 * width, n_classes)


def _blocks(width: int, binary: BinaryParts) -> Iterator[nn.Module]:
    channels = width
    for factor, stride in MOBILENET_BLOCKS:
        yield ElmAttention(channels, stride, binary)
        yield FeedForward(channels, factor * width // channels, binary)
        channels = factor * width
