"""Projected gradient descent in the probabilities of the weights."""

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.straight_through import as_signs, straight_through
from bnnkit.nn.weight_rules.weight_rule import WeightRule, register_weight_rule


@register_weight_rule
class ProjectedGradient(WeightRule):
    r"""`projected-gradient`: $w = \mathrm{sign}(\eta - z)$, $dL/d\eta = dL/dw$, clip to [-1, 1].

    With the uniform noise $\theta = F(\eta) = (\eta + 1)/2$, so clipping $\eta$ after each step
    projects $\theta$ on [0, 1], and the gradient in $\eta$ is $2F'(\eta)\,dL/dw = dL/dw$ there.
    The rule optimises $\mathbb{E}[L]$ over $\theta$ by steps of a quarter of the learning rate.
    With the noise "none" it is `binary-connect` (Hubara et al.'s deterministic weights).

    References:
        Shekhovtsov & Yanush, GCPR 2021, equations 10 and 11; Hubara et al., NeurIPS 2016,
        Algorithm 1.
    """

    name = "projected-gradient"
    default_noise = "uniform"

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Sample signs."""
        signs = as_signs(latent >= noise.sample(latent), latent.dtype)
        return straight_through(latent, signs, _inside)

    @torch.no_grad()
    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """Project the probabilities on [0, 1]."""
        latent.clamp_(-1, 1)

    def initial(self, shape: tuple[int, ...], noise: Noise) -> Tensor:
        r"""Draw initial latent weights: $\theta \sim U(0, 1)$."""
        return 2 * torch.rand(shape) - 1

    def check(self, noise: Noise) -> None:
        """Check that clipping eta is the projection for the noise.

        Raises:
            UsageError: If the noise is neither "uniform" nor "none".
        """
        if noise.name not in ("uniform", "none"):
            raise UsageError(
                f"the rule {self.name} has linear probabilities: expected the weight noise "
                f"uniform or none, got {noise.name!r}; the rule mirror-descent takes any noise"
            )


def _inside(latent: Tensor) -> Tensor:
    return (latent.abs() <= 1).to(latent.dtype)
