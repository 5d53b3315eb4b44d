"""ProxQuant: a proximal step towards +-1 after each step of the optimizer."""

import torch
from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import number
from bnnkit.nn.base.straight_through import as_signs
from bnnkit.nn.weight_rules.scheduled import ScheduledRule
from bnnkit.nn.weight_rules.weight_rule import register_weight_rule


def prox(latent: Tensor, strength: float | Tensor) -> Tensor:
    """Compute the v that minimises (v - t)^2 / 2 + strength | |v| - 1 |: t moved to sign(t)."""
    sign = as_signs(latent >= 0, latent.dtype)
    distance = latent - sign
    return sign + distance.sign() * (distance.abs() - strength).clamp(min=0)


@register_weight_rule
class ProxQuant(ScheduledRule):
    r"""`proxquant`: $w = \eta$, backward $dL/d\eta = dL/dw$, then a proximal step of $\eta$.

    The step is the prox of $\varepsilon\lambda R$ with the learning rate $\varepsilon$, and
    $R(\eta) = ||\eta| - 1|$: it moves $\eta$ towards its sign. $\lambda$ grows linearly with the
    training. The rule optimises $L(w) + \lambda R(w)$ over real weights. At `freeze_from` the
    weights are frozen at their signs; the rest of the training adapts the other parameters. The
    deployed weights are $\mathrm{sign}(\eta)$.

    Args:
        strength: $\lambda$ at `freeze_from`. The authors use 1e-4 per epoch, for 200 epochs.
        freeze_from: The fraction of the training from which weights are frozen.

    References:
        Bai, Wang & Liberty, ProxQuant, ICLR 2019, https://arxiv.org/abs/1810.00861.
    """

    name = "proxquant"

    def __init__(self, strength: float = 0.02, freeze_from: float = 2 / 3) -> None:
        super().__init__()
        self.strength = number(self.name, "strength", strength, at_least=0)
        self.freeze_from = number(self.name, "freeze_from", freeze_from, above=0, at_most=1)

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Return real weights, or signs without gradient once they are frozen."""
        signs = as_signs(latent.detach() >= 0, latent.dtype)
        return torch.where(self._is_frozen(), signs, latent)

    @torch.no_grad()
    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """Take the proximal step; reset frozen weights to their signs."""
        strength = self.strength * self.progress / self.freeze_from
        # Remaining momentum of the optimizer must not flip a frozen weight.
        strength = torch.where(self._is_frozen(), torch.inf, lr * strength)
        latent.copy_(prox(latent, strength))

    def _is_frozen(self) -> Tensor:
        return self.progress >= self.freeze_from
