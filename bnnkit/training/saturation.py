"""Count the latent weights that noise hardly flips any more.

A layer with a high share has settled: its weights are drawn with one sign only.
"""

import torch
from torch import nn

from bnnkit.training.flip_rates import latent_weights_by_layer

_RARE = 0.01


@torch.no_grad()
def saturated_shares(network: nn.Module) -> dict[str, float]:
    """Return the share of each layer's weights that are saturated, by layer.

    A weight is saturated if it is drawn with its less likely sign in less than 1 % of all draws:
    min(F(eta), 1 - F(eta)) < 0.01, where F is the distribution of its noise. Layers whose weights
    are not drawn have no such share and are left out.

    Args:
        network: With or without binary weights.
    """
    shares = {}
    for name, weight, latent in latent_weights_by_layer(network):
        if weight.noise.name != "none":
            probability = weight.noise.cdf(latent)
            rare = torch.minimum(probability, 1 - probability) < _RARE
            shares[name] = rare.float().mean()
    return {name: round(share.item(), 6) for name, share in shares.items()}
