"""Count the binary weights that change sign in an epoch.

A low rate means that a layer has stopped learning.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.latent_weights import latent_weights


def latent_weights_by_layer(
    network: nn.Module,
) -> Iterator[tuple[str, BinaryWeight, nn.Parameter]]:
    """Yield the name of each layer with binary weights, and its latent weights."""
    names = {id(p): name for name, p in network.named_parameters()}
    for weight, latent in latent_weights(network):
        yield names[id(latent)].removesuffix(".latent"), weight, latent


class FlipRates:
    """Compares the deployed signs of all binary weights at two times.

    Args:
        network: With or without binary weights.
    """

    def __init__(self, network: nn.Module) -> None:
        self._weights = list(latent_weights_by_layer(network))
        self._before: list[Tensor] = []

    @torch.no_grad()
    def start(self) -> None:
        """Store the current signs."""
        self._before = self._signs()

    @torch.no_grad()
    def rates(self) -> dict[str, float]:
        """Return the share of each layer's signs that changed since the start, by layer.

        Empty without binary weights.
        """
        if not self._before:
            return {}
        pairs = zip(self._before, self._signs(), strict=True)
        shares = torch.stack([(old != new).float().mean() for old, new in pairs]).tolist()
        names = [name for name, *_ in self._weights]
        return {name: round(share, 6) for name, share in zip(names, shares, strict=True)}

    def _signs(self) -> list[Tensor]:
        return [weight.deployed_latent(latent) >= 0 for _, weight, latent in self._weights]
