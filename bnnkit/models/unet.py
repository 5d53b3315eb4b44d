"""A residual U-Net for the segmentation of images, with binary convolutions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.first_layer import ToAutocast, first_conv, image_shape
from bnnkit.models.last_layer import LastConv2d
from bnnkit.models.resnet import BinaryResidual


class Decoder(nn.Module):
    """y = f(e + norm(conv(sign(join(upsample(x), e))))), f a `BinaryResidual`.

    Both convolutions are binary and 3x3. The encoder's map e is an input of the first one, and the
    skip connection around it.

    Input: x (N, 2C, H, W), and e (N, C, 2H, 2W). Output: (N, C, 2H, 2W).

    Args:
        channels: C.
        binary: Creates the signs and the convolutions.
    """

    def __init__(self, channels: int, binary: BinaryParts) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2)
        self.sign = binary.quantizer()
        self.conv = binary.conv(3 * channels, channels)
        self.norm = nn.BatchNorm2d(channels)
        self.residual = BinaryResidual(channels, channels, 1, binary)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        """Join the deeper map x with the encoder's map."""
        joined = torch.cat([self.upsample(x), encoded], dim=1)
        y: Tensor = self.residual(encoded + self.norm(self.conv(self.sign(joined))))
        return y


class UNet(nn.Module):
    """A residual U-Net: a class for each pixel of an image.

    C3 with W channels and a binary residual; `levels` times two binary residuals, the first with
    stride 2 and twice the channels; as many decoders back to the size of the image (`Decoder`);
    and a 1x1 convolution. The first and the last convolution are not binary. Real values go around
    each binary convolution, within a level (`BinaryResidual`) or from the encoder to the decoder.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output:
    (N, n_classes, H, W), logits; `torch.nn.functional.cross_entropy` takes them with targets
    (N, H, W).

    Args:
        input_shape: (C, H, W); H and W are multiples of 2^levels.
        n_classes: The number of classes of a pixel.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W.
        levels: How often the size is halved.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    References:
        Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI
        2015, https://arxiv.org/abs/1505.04597. Zhang et al., Road Extraction by Deep Residual
        U-Net, 2018, https://arxiv.org/abs/1711.10684 (residuals, and strides in place of pools).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 64,
        levels: int = 3,
        **options: Unpack[BinaryOptions],
    ) -> None:
        super().__init__()
        binary = BinaryParts(**options)
        channels, _, _ = image_shape(input_shape, multiple_of=2**levels)
        widths = [width * 2**level for level in range(levels + 1)]
        self.stem = nn.Sequential(
            first_conv(channels, width, 3, zero_point=zero_point),
            nn.BatchNorm2d(width),
            ToAutocast(),
            BinaryResidual(width, width, 1, binary),
        )
        self.encoders = nn.ModuleList(
            nn.Sequential(
                BinaryResidual(wide // 2, wide, 2, binary), BinaryResidual(wide, wide, 1, binary)
            )
            for wide in widths[1:]
        )
        self.decoders = nn.ModuleList(Decoder(wide, binary) for wide in widths[-2::-1])
        self.classifier = LastConv2d(width, n_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of each pixel."""
        maps = [self.stem(x)]
        for encoder in self.encoders:
            maps.append(encoder(maps[-1]))
        y = maps.pop()
        for decoder in self.decoders:
            y = decoder(y, maps.pop())
        logits: Tensor = self.classifier(y)
        return logits
