"""Straight-through estimators with twice the density of the noise, sampled and deterministic."""

from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.estimators.estimator import Estimator, check_density, register_estimator


@register_estimator
class StraightThrough(Estimator):
    r"""`st`: forward $x = \mathrm{sign}(a - z)$, backward $dL/da = 2F'(a)\,dL/dx$.

    It is derived from the exact gradient of $\mathbb{E}[L]$ by single flips, with the difference
    $L(x) - L(x_{\downarrow i})$ of flipping $x_i$ replaced by its linearisation $2 x_i\,dL/dx_i$.
    It is exact for a linear loss, unbiased for a multilinear loss, and biased otherwise, less so
    with more units. The factor 2 comes from the values +-1.

    References:
        Shekhovtsov & Yanush, Reintroducing Straight-Through Estimators as Principled Methods for
        Stochastic Binary Networks, GCPR 2021, Algorithm 1.
    """

    name = "st"

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """$2F'(a)$."""
        return 2 * noise.pdf(a)

    def check(self, noise: Noise) -> None:
        """Check that the noise has a density.

        Raises:
            UsageError: If the noise has no density.
        """
        check_density(self.name, noise)


@register_estimator
class DeterministicStraightThrough(StraightThrough):
    r"""`deterministic-st`: forward $x = \mathrm{sign}(a)$, backward $dL/da = 2F'(a)\,dL/dx$.

    The noise only determines the derivative: logistic is the derivative of tanh, uniform (and
    "none") the clipped identity, triangular a wider ApproxSign. The network is deterministic in
    training, in evaluation and in files. The bias relative to `st` grows with the noise. The
    strongest deterministic recipes use this estimator.

    References:
        Shekhovtsov & Yanush, GCPR 2021, section 2.1 and Proposition B.7.
    """

    name = "deterministic-st"
    draws_noise = False
