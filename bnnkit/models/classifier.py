"""What most networks are: features, and a linear layer that computes the logits of them."""

from collections.abc import Iterable

from torch import Tensor, nn

from bnnkit.models.last_layer import LastLinear


class Classifier(nn.Module):
    """logits = linear(features(x)).

    Input: what the first layer takes. Output: (N, n_classes), logits.

    Args:
        features: The layers that compute the features, (N, n_features).
        n_features: Their number.
        n_classes: The number of outputs.
    """

    def __init__(self, features: Iterable[nn.Module], n_features: int, n_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.classifier = LastLinear(n_features, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        logits: Tensor = self.classifier(self.features(x))
        return logits
