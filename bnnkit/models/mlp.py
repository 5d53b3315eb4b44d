"""A multilayer perceptron."""

from collections.abc import Sequence

from torch import nn
from typing_extensions import Unpack

from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.classifier import Classifier
from bnnkit.models.first_layer import first_linear


class Mlp(Classifier):
    """D hidden layers of width W, each with batch norm and `Sign`, and a real-valued last layer.

    The first hidden layer is not binary.

    Input: (N, *input_shape), uint8 where zero points are given, else float32. Output:
    (N, n_classes), logits.

    Args:
        input_shape: The shape of one input, channels first.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W.
        depth: The depth D, at least 1.
        options: Noises, estimator and weight rule; see `BinaryOptions`.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 256,
        depth: int = 2,
        **options: Unpack[BinaryOptions],
    ) -> None:
        binary = BinaryParts(**options)
        features: list[nn.Module] = [
            nn.Flatten(),
            first_linear(input_shape, width, zero_point=zero_point),
            nn.BatchNorm1d(width),
            binary.quantizer(),
        ]
        for _ in range(depth - 1):
            features += [
                binary.linear(width, width),
                nn.BatchNorm1d(width),
                binary.quantizer(),
            ]
        super().__init__(features, width, n_classes)
