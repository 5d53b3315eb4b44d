"""ReCU: standardised latent weights whose tails are clamped."""

import math

import torch
from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import number
from bnnkit.nn.base.straight_through import as_signs, straight_through
from bnnkit.nn.weight_rules.scheduled import ScheduledRule
from bnnkit.nn.weight_rules.standardised import centred, deviation
from bnnkit.nn.weight_rules.weight_rule import register_weight_rule


@register_weight_rule
class ReCu(ScheduledRule):
    r"""`recu`: $w = \mathrm{sign}(v)$, backward through v clamped to two of its quantiles.

    $v = (\eta - m) / s$ with the mean m and the deviation s of each output channel. The quantiles
    $1 - \tau$ and $\tau$ are those of a Laplace distribution with the layer's mean of $|v|$:
    $Q = -\mathrm{mean}|v| \log(2 - 2\tau)$. The gradient passes unchanged where $|v| \le Q$, is 0
    elsewhere, and goes from v to $\eta$ by the chain rule. So weights in the tails, which would
    never flip, are moved only by the standardisation. $\tau$ grows from `first_tau` to `last_tau`
    as exp(progress) does. The deployed weights are $\mathrm{sign}(\eta - m)$.

    Args:
        first_tau: $\tau$ at the start, above 1/2.
        last_tau: $\tau$ at the end, below 1.

    References:
        Xu et al., ReCU: Reviving the Dead Weights in Binary Neural Networks, ICCV 2021,
        https://arxiv.org/abs/2103.12369, without its learned scales.
    """

    name = "recu"

    def __init__(self, first_tau: float = 0.85, last_tau: float = 0.99) -> None:
        super().__init__()
        self.first_tau = number(self.name, "first_tau", first_tau, above=0.5, at_most=0.9999)
        self.last_tau = number(
            self.name, "last_tau", last_tau, at_least=self.first_tau, at_most=0.9999
        )

    def current_tau(self) -> Tensor:
        """Return the current fraction of the weights below the upper quantile."""
        grown = (self.progress.exp() - 1) / (math.e - 1)
        return self.first_tau + (self.last_tau - self.first_tau) * grown

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Compute the signs."""
        difference = centred(latent)
        v = difference / deviation(difference)
        limit = -v.detach().abs().mean() * torch.log(2 - 2 * self.current_tau())
        signs = as_signs(difference.detach() >= 0, latent.dtype)
        return straight_through(torch.clamp(v, -limit, limit), signs, _identity)

    def deployed_latent(self, latent: Tensor) -> Tensor:
        """Subtract the mean over each output channel from the latent weights."""
        return centred(latent)


def _identity(clamped: Tensor) -> float:
    return 1.0
