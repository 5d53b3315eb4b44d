"""Straight-through estimators with the identity as derivative, full and clipped."""

from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import number
from bnnkit.nn.estimators.estimator import Estimator, register_estimator


@register_estimator
class IdentityStraightThrough(Estimator):
    r"""`identity-st`: forward $x = \mathrm{sign}(a - z)$, backward $dL/da = dL/dx$.

    It omits the factor $2F'(a)$ of `st`, which adds a bias; the gradient of a saturated unit does
    not vanish. For weights the identity is justified: see the rule mirror-descent.

    References:
        Bengio, Leonard & Courville, Estimating or Propagating Gradients Through Stochastic
        Neurons, 2013, https://arxiv.org/abs/1308.3432, equation 13.
    """

    name = "identity-st"

    def jacobian(self, a: Tensor, noise: Noise) -> float:
        """1."""
        return 1.0


@register_estimator
class ClippedIdentity(Estimator):
    r"""`clipped-identity`: $x = \mathrm{sign}(a - z)$, $dL/da = dL/dx$ where $|a| \le$ limit.

    With limit 1 it equals `st` for uniform noise, and Larq's `ste_sign` for noise "none".

    Args:
        limit: Half the width of the window, in units of a.

    References:
        Hubara et al., Binarized Neural Networks, NeurIPS 2016, https://arxiv.org/abs/1602.02830.
    """

    name = "clipped-identity"

    def __init__(self, limit: float = 1.0) -> None:
        self.limit = number(self.name, "limit", limit, above=0)

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        r"""1 where $|a| \le$ limit, else 0."""
        return (a.abs() <= self.limit).to(a.dtype)
