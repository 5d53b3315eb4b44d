"""A small convolutional network for digits and MNIST."""

from collections.abc import Sequence

from torch import nn
from typing_extensions import Unpack

from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.classifier import Classifier
from bnnkit.models.first_layer import first_conv, image_shape


class ConvNet(Classifier):
    """W C5 stride 2 - 2W C3 - MP2 - 4W FC - FC, each but the last with batch norm and `Sign`.

    The first and the last layer are not binary.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W).
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W.
        options: Noises, estimator and weight rule; see `BinaryOptions`.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 32,
        **options: Unpack[BinaryOptions],
    ) -> None:
        binary = BinaryParts(**options)
        channels, *size = image_shape(input_shape)
        # The first layer halves the size and rounds up, the pool halves it and rounds down.
        height, map_width = ((n + 1) // 2 // 2 for n in size)
        features = (
            first_conv(channels, width, 5, stride=2, zero_point=zero_point),
            nn.BatchNorm2d(width),
            binary.quantizer(),
            binary.conv(width, 2 * width),
            nn.BatchNorm2d(2 * width),
            nn.MaxPool2d(2),
            binary.quantizer(),
            nn.Flatten(),
            binary.linear(2 * width * height * map_width, 4 * width),
            nn.BatchNorm1d(4 * width),
            binary.quantizer(),
        )
        super().__init__(features, 4 * width, n_classes)
