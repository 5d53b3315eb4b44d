"""Mirror descent in the probabilities of the weights."""

import torch
from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.straight_through import as_signs, straight_through
from bnnkit.nn.weight_rules.weight_rule import WeightRule, register_weight_rule

# theta is kept this far from 0 and 1, so that no latent weight starts at infinity.
_MIN_PROBABILITY = 2.0**-20


@register_weight_rule
class MirrorDescent(WeightRule):
    r"""`mirror-descent`: forward $w = \mathrm{sign}(\eta - z)$, backward $dL/d\eta = 2\,dL/dw$.

    A step of gradient descent on $\eta$ is a step of mirror descent on $\mathbb{E}[L]$ in the
    probabilities $\theta = F(\eta)$, with a divergence that depends on F; for the logistic noise
    it is the Kullback-Leibler divergence. If F is not strictly monotone (uniform, triangular,
    none), this holds as long as $\eta$ stays inside the support. The factor 2 comes from the
    values $\pm 1$.

    Every noise is allowed; "none" makes the weights deterministic.

    References:
        Shekhovtsov & Yanush, GCPR 2021, Algorithm 2 and Proposition 1.
    """

    name = "mirror-descent"
    default_noise = "logistic"

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Sample signs."""
        return _signs(latent, noise.sample(latent))

    def deployed_weight(self, latent: Tensor) -> Tensor:
        """Return the maximum-probability signs; the gradient is that of training."""
        return _signs(latent, 0)

    def initial(self, shape: tuple[int, ...], noise: Noise) -> Tensor:
        r"""Draw latent weights: $\theta \sim U(0, 1)$, $\eta = F^{-1}(\theta)$ (appendix D.3)."""
        theta = torch.rand(shape).clamp(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
        return noise.quantile(theta)

    def check(self, noise: Noise) -> None:
        """Accept every noise."""


def _signs(latent: Tensor, z: Tensor | int) -> Tensor:
    return straight_through(latent, as_signs(latent >= z, latent.dtype), _jacobian)


def _jacobian(latent: Tensor) -> float:
    return 2.0
