"""The depthwise separable network of keyword spotting, with binary convolutions."""

from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import Unpack

from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.classifier import Classifier
from bnnkit.models.first_layer import first_conv, image_shape


class SeparableResidual(nn.Module):
    """y = x + norm(conv1x1(sign(norm(depthwise3x3(sign(x)))))), both convolutions binary.

    Input and output: (N, C, H, W), real-valued.

    Args:
        channels: C.
        binary: Creates the signs and the convolutions.
    """

    def __init__(self, channels: int, binary: BinaryParts) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            binary.quantizer(),
            binary.conv(channels, channels, groups=channels),
            nn.BatchNorm2d(channels),
            binary.quantizer(),
            binary.conv(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the sum of the input and the convolutions."""
        y: Tensor = x + self.residual(x)
        return y


class DsCnn(Classifier):
    """W C5 stride 2 - MP2 - blocks x (depthwise C3 - C1) - average pool - FC, for few weights.

    The network of "Hello Edge" for spectrograms (time x frequency), with a residual around each
    pair of convolutions, which binary weights need. The first and the last layer are not binary.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W); for a spectrogram, H is time and W is frequency.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W.
        blocks: The number of pairs of convolutions.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    References:
        Zhang et al., Hello Edge: Keyword Spotting on Microcontrollers, 2017,
        https://arxiv.org/abs/1711.07128.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 64,
        blocks: int = 4,
        **options: Unpack[BinaryOptions],
    ) -> None:
        binary = BinaryParts(**options)
        channels, _, _ = image_shape(input_shape)
        features = (
            first_conv(channels, width, 5, stride=2, zero_point=zero_point),
            nn.BatchNorm2d(width),
            nn.MaxPool2d(2),
            *(SeparableResidual(width, binary) for _ in range(blocks)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        super().__init__(features, width, n_classes)
