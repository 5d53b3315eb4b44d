"""ReActNet-A: MobileNet with binary convolutions, each with a skip and shifted activations."""

from collections.abc import Iterator, Sequence
from typing import Final

from torch import nn
from typing_extensions import Unpack

from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.classifier import Classifier
from bnnkit.models.first_layer import ToAutocast, first_conv, image_shape
from bnnkit.models.resnet import BinaryResidual

MOBILENET_BLOCKS: Final = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *[(16, 1)] * 5,
                           (32, 2), (32, 1))  # fmt: skip
"""Of each of MobileNet's 13 blocks: the output channels in units of the width, and the stride."""


class ReActNetA(Classifier):
    """W C3 stride 2 - 13 x (binary C3 - binary C1) - average pool - FC; the paper's with W = 32.

    Each binary convolution has a skip around it: learned shift, sign, convolution, batch norm, sum
    with the skip, RPReLU. Where the size is halved, the skip is an average pool. Where a 1x1
    convolution doubles the channels, its input is repeated, so the skip has no parameters; this is
    the paper's pair of convolutions whose outputs are joined. Only the first and the last layer
    are not binary.

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
        Liu et al., ReActNet, ECCV 2020, https://arxiv.org/abs/2003.03488.
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
            *_residuals(width, BinaryParts(**options)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        super().__init__(features, 32 * width, n_classes)


def _residuals(width: int, binary: BinaryParts) -> Iterator[nn.Module]:
    before = width
    for factor, stride in MOBILENET_BLOCKS:
        after = factor * width
        for outputs, kernel_size, step in ((before, 3, stride), (after, 1, 1)):
            yield BinaryResidual(
                before,
                outputs,
                step,
                binary,
                kernel_size=kernel_size,
                skip="average",
                activation="rprelu",
            )
        before = after
