"""TC-ResNet, a network of one-dimensional convolutions for keyword spotting, made binary."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.classifier import Classifier
from bnnkit.models.first_layer import ToAutocast, first_conv1d, sequence_shape

STAGES = {8: 1, 14: 2}
"""Blocks of each of the three stages, by the depth of the network."""
_LEAST_FRAMES = 5
"""The least number that three strides of 2 reduce to one: to 3, 2 and 1."""


class TemporalResidual(nn.Module):
    """y = skip(x) + norm(conv(sign(x))), with a binary convolution over time.

    The skip has no weights: with stride 2, it is the maximum of two frames; with more channels, it
    is zero in those beyond I.

    Input: (N, I, T), real-valued. Output: (N, O, ceil(T / stride)).

    Args:
        in_channels: I.
        out_channels: O, at least I.
        stride: 1 or 2.
        binary: Creates the sign and the convolution.

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 3.3 (zeros in
        the additional channels); Liu et al., Bi-Real Net, ECCV 2018,
        https://arxiv.org/abs/1808.00278 (a skip around each convolution).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, binary: BinaryParts
    ) -> None:
        super().__init__()
        self.sign = binary.quantizer()
        self.conv = binary.conv1d(in_channels, out_channels, 9, stride=stride)
        self.norm = nn.BatchNorm1d(out_channels)
        self.pool = nn.MaxPool1d(2, ceil_mode=True) if stride == 2 else nn.Identity()
        self.n_added = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Compute the sum of skip and convolution."""
        skip = self.pool(x)
        if self.n_added:
            skip = functional.pad(skip, (0, 0, 0, self.n_added))
        y: Tensor = skip + self.norm(self.conv(self.sign(x)))
        return y


class TcResNet(Classifier):
    """W C3 - three stages of residual C9 with 1.5 W, 2 W and 3 W channels - average pool - FC.

    The convolutions run over time; the coefficients of a frame are channels. Each stage begins
    with stride 2. As in the published network, a block has two convolutions and a stage has one
    block (depth 8) or two (depth 14); but each convolution has a skip of its own, which binary
    ones need, and no skip has weights, so only the first and the last layer are not binary. The
    published width is 16; signs are packed best if W is a multiple of 128.

    Input: (N, C, T), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, T): C features of each of T frames, at least 5, such as 40 MFCCs of 98.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W, an even number.
        depth: 8 or 14.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    Raises:
        UsageError: If inputs have another number of axes or too few frames, the width is odd, or
            the depth is neither 8 nor 14.

    References:
        Choi et al., Temporal Convolution for Real-time Keyword Spotting on Mobile Devices,
        Interspeech 2019, https://arxiv.org/abs/1904.03814.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 64,
        depth: int = 8,
        **options: Unpack[BinaryOptions],
    ) -> None:
        if width % 2:
            raise UsageError(f"expected an even width, got {width}")
        if depth not in STAGES:
            raise UsageError(f"expected a depth out of {', '.join(map(str, STAGES))}, got {depth}")
        binary = BinaryParts(**options)
        channels, frames = sequence_shape(input_shape)
        if frames < _LEAST_FRAMES:
            raise UsageError(f"expected at least {_LEAST_FRAMES} frames, got {frames}")
        residuals, inputs = [], width
        for outputs in (3 * width // 2, 2 * width, 3 * width):
            sizes = [(inputs, outputs, 2), *[(outputs, outputs, 1)] * (2 * STAGES[depth] - 1)]
            residuals += [TemporalResidual(*size, binary) for size in sizes]
            inputs = outputs
        features = (
            first_conv1d(channels, width, 3, zero_point=zero_point),
            nn.BatchNorm1d(width),
            ToAutocast(),
            *residuals,
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        super().__init__(features, inputs, n_classes)
