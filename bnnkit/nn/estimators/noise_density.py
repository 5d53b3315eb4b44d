"""Straight-through with twice the density of the noise, drawn and deterministic."""

from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.estimators.estimator import Estimator, check_density, register_estimator


@register_estimator
class StraightThrough(Estimator):
    """`st`: forward x = sign(a - z), backward dL/da = 2F'(a) dL/dx.

    It is derived: the exact gradient of E[L] by single flips, with L(x) - L(x with x_i flipped)
    replaced by its linearisation 2 x_i dL/dx_i. Exact for a linear loss, unbiased for a
    multilinear one, and biased else, less so with more units. The factor 2 belongs to the +-1
    code.

    References:
        Shekhovtsov & Yanush, Reintroducing Straight-Through Estimators as Principled Methods for
        Stochastic Binary Networks, GCPR 2021, Algorithm 1.
    """

    name = "st"

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """2F'(a)."""
        return 2 * noise.pdf(a)

    def check(self, noise: Noise) -> None:
        """Refuse a noise without density.

        Raises:
            UsageError: The noise has no density.
        """
        check_density(self.name, noise)


@register_estimator
class DeterministicStraightThrough(StraightThrough):
    """`deterministic-st`: forward x = sign(a), backward dL/da = 2F'(a) dL/dx.

    The noise only gives the proxy: logistic the derivative of tanh, uniform (and "none") the
    clipped identity, triangular a wider ApproxSign. The network is deterministic in training, in
    evaluation and in files. It adds a bias to `st` where the noise is large, and is what the
    strongest deterministic recipes use.

    References:
        Shekhovtsov & Yanush, GCPR 2021, section 2.1 and Proposition B.7.
    """

    name = "deterministic-st"
    draws_noise = False
