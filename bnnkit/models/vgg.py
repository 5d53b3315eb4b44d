"""The network of the paper's CIFAR-10 experiments."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from torch import nn
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.classifier import Classifier
from bnnkit.models.first_layer import first_conv, image_shape

ORDERS = ("norm-pool", "pool-norm")


class Vgg(Classifier):
    """(2 x W C3)-MP2-(2 x 2W C3)-MP2-(2 x 4W C3)-MP2-(2 x 8W FC)-FC; the paper's with W = 128.

    Each layer except the last is followed by batch norm, (max pool,) and `Sign`. The first and the
    last layer are not binary.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W).
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W.
        order: The order of batch norm and max pool: "norm-pool" as in the paper, or "pool-norm",
            which normalises fewer values.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    Raises:
        UsageError: If the order is unknown.

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
        order: str = "norm-pool",
        **options: Unpack[BinaryOptions],
    ) -> None:
        binary = BinaryParts(**options)

        def dense(in_features: int, out_features: int) -> Iterator[nn.Module]:
            yield binary.linear(in_features, out_features)
            yield nn.BatchNorm1d(out_features)
            yield binary.quantizer()

        features = (
            *vgg_convolutions(input_shape, zero_point, width, order, binary),
            binary.quantizer(),
            nn.Flatten(),
            *dense(vgg_features(input_shape, width), 8 * width),
            *dense(8 * width, 8 * width),
        )
        super().__init__(features, 8 * width, n_classes)


def vgg_convolutions(
    input_shape: Sequence[int],
    zero_point: Sequence[int] | None,
    width: int,
    order: str,
    binary: BinaryParts,
) -> Iterator[nn.Module]:
    """Create the six convolutions with batch norms, max pools and the signs between them.

    The last batch norm has no sign. The arguments are those of `Vgg`.
    """
    channels, _, _ = image_shape(input_shape)
    yield first_conv(channels, width, 3, zero_point=zero_point)
    yield nn.BatchNorm2d(width)
    sizes = [width, width, 2 * width, 2 * width, 4 * width, 4 * width]
    for number, (in_channels, out_channels) in enumerate(pairwise(sizes)):
        yield binary.quantizer()
        yield binary.conv(in_channels, out_channels)
        norm = nn.BatchNorm2d(out_channels)
        yield from _pooled(norm, order) if number % 2 == 0 else [norm]


def vgg_features(input_shape: Sequence[int], width: int) -> int:
    """Return the number of flattened features of `vgg_convolutions`."""
    _, height, map_width = image_shape(input_shape)
    return 4 * width * (height // 8) * (map_width // 8)


def _pooled(norm: nn.Module, order: str) -> list[nn.Module]:
    makers: dict[str, Callable[[], list[nn.Module]]] = {
        "norm-pool": lambda: [norm, nn.MaxPool2d(2)],
        "pool-norm": lambda: [nn.MaxPool2d(2), norm],
    }
    if order not in makers:
        raise UsageError(f"expected an order out of {', '.join(ORDERS)}, got {order!r}")
    return makers[order]()
