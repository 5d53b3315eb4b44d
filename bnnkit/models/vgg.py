"""The network of the paper's CIFAR-10 experiments."""

from collections.abc import Iterator, Sequence
from typing import Unpack

from torch import Tensor, nn

from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.first_layer import first_conv, image_shape


class Vgg(nn.Module):
    """(2 x W C3)-MP2-(2 x 2W C3)-MP2-(2 x 4W C3)-MP2-(2 x 8W FC)-FC; the paper's with W = 128.

    Each layer but the last is followed by batch norm, (max pool,) and `Sign`. The first layer and
    the last are not binary.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W).
        n_classes: Number of outputs.
        zero_point: Zero point of each input channel; None for real-valued inputs.
        width: W.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    References:
        Shekhovtsov & Yanush, GCPR 2021, section 4 and appendix D.3.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 128,
        **options: Unpack[BinaryOptions],
    ) -> None:
        super().__init__()
        binary = BinaryParts(**options)
        channels, height, map_width = image_shape(input_shape)

        def conv(in_channels: int, out_channels: int, *, pool: bool) -> Iterator[nn.Module]:
            yield binary.conv(in_channels, out_channels)
            yield nn.BatchNorm2d(out_channels)
            if pool:
                yield nn.MaxPool2d(2)
            yield binary.sign()

        def dense(in_features: int, out_features: int) -> Iterator[nn.Module]:
            yield binary.linear(in_features, out_features)
            yield nn.BatchNorm1d(out_features)
            yield binary.sign()

        self.features = nn.Sequential(
            first_conv(channels, width, 3, zero_point=zero_point),
            nn.BatchNorm2d(width),
            binary.sign(),
            *conv(width, width, pool=True),
            *conv(width, 2 * width, pool=False),
            *conv(2 * width, 2 * width, pool=True),
            *conv(2 * width, 4 * width, pool=False),
            *conv(4 * width, 4 * width, pool=True),
            nn.Flatten(),
            *dense(4 * width * (height // 8) * (map_width // 8), 8 * width),
            *dense(8 * width, 8 * width),
        )
        self.classifier = nn.Linear(8 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.classifier(self.features(x))
        return logits
