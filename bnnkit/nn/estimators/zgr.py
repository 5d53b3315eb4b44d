"""ZGR: a straight-through estimator that is unbiased for quadratic losses."""

from functools import partial

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.straight_through import straight_through_at_value
from bnnkit.nn.estimators.estimator import Estimator, check_density, register_estimator


@register_estimator
class Zgr(Estimator):
    r"""`zgr`: $x = \mathrm{sign}(a - z)$, $dL/da = \frac{F'(a)}{P(x)}\,dL/dx$, $P(x) = F(ax)$.

    It is DARN(1/2) for binary variables: the score $x F'(a) / P(x)$ times the linearisation
    $L(x) - L(0) = x\,dL/dx$. The mean of the derivative over x is $2F'(a)$, the derivative of
    `st`. It is unbiased for losses that are quadratic in x, including terms $x_i^2$, and has no
    temperature. With logistic noise the derivative is $2(1 - P(x))$.

    References:
        Shekhovtsov, Cold Analysis of Rao-Blackwellized Straight-Through Gumbel-Softmax Gradient
        Estimator, ICML 2023; Gregor et al., Deep AutoRegressive Networks, ICML 2014.
    """

    name = "zgr"
    follows_distribution = True

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """Return the derivative at the maximum-probability value, which is sign(a)."""
        return self._derivative(a, torch.where(a >= 0, 1, -1), noise)

    def propagate(self, a: Tensor, x: Tensor, z: Tensor | None, noise: Noise) -> Tensor:
        """Return the sign; its gradient depends on the sampled value."""
        return straight_through_at_value(a, x, partial(self._derivative, noise=noise))

    def check(self, noise: Noise) -> None:
        """Check that the noise has a density.

        Raises:
            UsageError: If the noise is "none" or has no density.
        """
        if noise.name == "none":
            raise UsageError(
                "expected signs with noise for zgr, which averages over their values, got noise "
                "none; use the estimator deterministic-st, or noise logistic"
            )
        check_density(self.name, noise)

    @staticmethod
    def _derivative(a: Tensor, x: Tensor, noise: Noise) -> Tensor:
        return noise.pdf(a) / noise.cdf(a * x).clamp(min=torch.finfo(a.dtype).tiny)
