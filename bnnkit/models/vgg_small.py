"""VGG-Small, the network of most papers on binary networks for CIFAR-10."""

from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.last_layer import LastLinear
from bnnkit.models.vgg import vgg_convolutions, vgg_features

FEATURES = ("signs", "real")


class VggSmall(nn.Module):
    """(2 x W C3)-MP2-(2 x 2W C3)-MP2-(2 x 4W C3)-MP2-FC: `Vgg` without its binary dense layers.

    Input: (N, C, H, W), uint8 where zero points are given, else float32. Output: (N, n_classes),
    logits.

    Args:
        input_shape: (C, H, W).
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width W.
        order: Of batch norm and max pool, as in `Vgg`.
        features: The inputs of the last layer: "signs", or "real", the batch norm's values clipped
            to [-1, 1].
        feature_scale: A factor of the features; the initial weights of the last layer are divided
            by it, so that Adam changes them more slowly. 0.1 trains better than 1.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    Raises:
        UsageError: If `order` or `features` is unknown.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 128,
        order: str = "norm-pool",
        features: str = "signs",
        feature_scale: float = 1.0,
        **options: Unpack[BinaryOptions],
    ) -> None:
        super().__init__()
        if features not in FEATURES:
            raise UsageError(f"expected features out of {', '.join(FEATURES)}, got {features!r}")
        binary = BinaryParts(**options)
        self.features = nn.Sequential(
            *vgg_convolutions(input_shape, zero_point, width, order, binary),
            binary.quantizer() if features == "signs" else nn.Hardtanh(),
            nn.Flatten(),
        )
        self.feature_scale = feature_scale
        self.classifier = LastLinear(vgg_features(input_shape, width), n_classes)
        self.classifier.weight.data /= feature_scale

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        features = self.features(x)
        if self.feature_scale != 1:
            features = features * self.feature_scale
        logits: Tensor = self.classifier(features)
        return logits
