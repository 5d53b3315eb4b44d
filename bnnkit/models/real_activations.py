"""Networks with real-valued activations and binary or real-valued weights."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.classifier import Classifier
from bnnkit.models.first_layer import ToAutocast, first_conv, image_shape
from bnnkit.models.vgg import vgg_features

WEIGHTS = ("real", "binary")
Conv = Callable[[int, int, int, int], nn.Module]
"""Creates a convolution without bias, zero-padded by half its kernel, from input channels, output
channels, kernel size and stride."""


class BasicBlock(nn.Module):
    """y = relu(skip(x) + norm(conv(relu(norm(conv(x)))))), with 3x3 convolutions.

    If channels or size change, the skip is a 1x1 convolution and batch norm.

    Input: (N, I, H, W). Output: (N, O, H / stride, W / stride).

    Args:
        in_channels: I.
        out_channels: O.
        stride: 1 or 2.
        conv: Creates the convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, conv: Conv) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv(in_channels, out_channels, 3, stride),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            conv(out_channels, out_channels, 3, 1),
            nn.BatchNorm2d(out_channels),
        )
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.skip = nn.Sequential(
                conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)
            )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Compute the activations."""
        y: Tensor = self.relu(self.skip(x) + self.residual(x))
        return y


class RealResNet18(Classifier):
    """ResNet-18 for small images: 3x3 stem, 8 basic blocks, average pool, FC; ReLU activations.

    The stem and the last layer are never binary.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W); H and W are multiples of 8.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: Channels of the stem and the first stage; the later three have 2, 4, 8 times as
            many.
        weights: Of the blocks: "real", or "binary".
        options: Noise and rule of binary weights; see `BinaryOptions`.

    Raises:
        UsageError: If `weights` is neither "real" nor "binary".

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016,
        https://arxiv.org/abs/1512.03385.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 64,
        weights: str = "real",
        **options: Unpack[BinaryOptions],
    ) -> None:
        conv = _conv(weights, options)
        channels, _, _ = image_shape(input_shape, multiple_of=8)
        blocks = []
        in_channels = width
        for stage in range(4):
            out_channels = width * 2**stage
            blocks += [
                BasicBlock(in_channels, out_channels, 1 if stage == 0 else 2, conv),
                BasicBlock(out_channels, out_channels, 1, conv),
            ]
            in_channels = out_channels
        features = (
            first_conv(channels, width, 3, zero_point=zero_point),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ToAutocast(),
            *blocks,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        super().__init__(features, in_channels, n_classes)


class RealVgg16(Classifier):
    """VGG16 for small images: 13 3x3 convolutions with batch norm and ReLU, 4 max pools, FC.

    2 x W, 2 x 2W, 3 x 4W, 3 x 8W, 3 x 8W channels, with a max pool between the groups and an
    average pool after the last. The first and the last layer are never binary.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W); H and W are multiples of 16.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: W.
        weights: "real", or "binary".
        options: Noise and rule of binary weights; see `BinaryOptions`.

    Raises:
        UsageError: If `weights` is neither "real" nor "binary".

    References:
        Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
        ICLR 2015, https://arxiv.org/abs/1409.1556.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 64,
        weights: str = "real",
        **options: Unpack[BinaryOptions],
    ) -> None:
        channels, _, _ = image_shape(input_shape, multiple_of=16)
        first = first_conv(channels, width, 3, zero_point=zero_point)
        groups = [(2, 1), (2, 2), (3, 4), (3, 8), (3, 8)]
        layers = _vgg_layers(first, width, _conv(weights, options), groups)
        features = (*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(features, 8 * width, n_classes)


class RealVggSmall(Classifier):
    """(2 x W C3)-MP2-(2 x 2W C3)-MP2-(2 x 4W C3)-MP2-FC: `VggSmall` with ReLU activations.

    Each convolution is followed by batch norm and ReLU. The first and the last layer are never
    binary.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W); H and W are multiples of 8.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: W.
        weights: "real", or "binary".
        options: Noise and rule of binary weights; see `BinaryOptions`.

    Raises:
        UsageError: If `weights` is neither "real" nor "binary".
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 128,
        weights: str = "real",
        **options: Unpack[BinaryOptions],
    ) -> None:
        channels, _, _ = image_shape(input_shape, multiple_of=8)
        first = first_conv(channels, width, 3, zero_point=zero_point)
        groups = [(2, 1), (2, 2), (2, 4)]
        layers = _vgg_layers(first, width, _conv(weights, options), groups)
        features = (*layers, nn.MaxPool2d(2), nn.Flatten())
        super().__init__(features, vgg_features(input_shape, width), n_classes)


def _vgg_layers(
    first: nn.Module, width: int, conv: Conv, groups: Sequence[tuple[int, int]]
) -> Iterator[nn.Module]:
    """Create groups of layers with a max pool between them.

    Args:
        first: The first convolution.
        width: W.
        conv: Creates the others.
        groups: Numbers of layers, and their channels in units of W.
    """
    in_channels = 0
    for group, (n_layers, factor) in enumerate(groups):
        if group:
            yield nn.MaxPool2d(2)
        for _ in range(n_layers):
            out_channels = factor * width
            yield conv(in_channels, out_channels, 3, 1) if in_channels else first
            yield nn.BatchNorm2d(out_channels)
            yield nn.ReLU()
            in_channels = out_channels


def _conv(weights: str, options: BinaryOptions) -> Conv:
    if weights not in WEIGHTS:
        raise UsageError(f"expected weights out of {', '.join(WEIGHTS)}, got {weights!r}")
    if weights == "real":
        return lambda i, o, kernel, stride: nn.Conv2d(
            i, o, kernel, stride, padding=kernel // 2, bias=False
        )
    padded: BinaryOptions = {"padding_value": "zeros", **options}
    binary = BinaryParts(**padded)
    return lambda i, o, kernel, stride: binary.conv(i, o, kernel, stride=stride)
