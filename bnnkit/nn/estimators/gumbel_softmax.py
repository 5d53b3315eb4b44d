"""Gumbel-softmax for two values: the sign with noise, relaxed to a tanh."""

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import number
from bnnkit.nn.base.straight_through import straight_through
from bnnkit.nn.estimators.estimator import Estimator, register_estimator


class _Relaxation(Estimator):
    r"""$\tilde x = \tanh((a - z) / T)$, which goes to sign(a - z) as the temperature goes to 0."""

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = number(self.name, "temperature", temperature, above=0)

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """The derivative of x~, where `a` stands for a - z."""
        return (1 - torch.tanh(a / self.temperature).square()) / self.temperature

    def check(self, noise: Noise) -> None:
        """Check that there is noise to relax.

        Raises:
            UsageError: If the noise is "none".
        """
        if noise.name == "none":
            raise UsageError(
                f"expected signs with noise for {self.name}, got noise none; use the estimator "
                "tanh, or noise logistic"
            )


@register_estimator
class GumbelSoftmax(_Relaxation):
    r"""`gumbel-softmax`: in training $\tilde x = \tanh((a - z) / T)$, and its exact gradient.

    With the logistic noise it is the binary concrete distribution. Values are real in training,
    +-1 in evaluation and in files: it optimises $\mathbb{E}[L(\tilde x)]$, not $\mathbb{E}[L(x)]$,
    without bias. Large temperatures have more bias, small ones more variance.

    Args:
        temperature: T, in units of a; in units of the logit 2a it is twice as large.

    References:
        Jang, Gu & Poole, Categorical Reparameterization with Gumbel-Softmax, ICLR 2017,
        https://arxiv.org/abs/1611.01144; Maddison, Mnih & Teh, The Concrete Distribution, ICLR
        2017, https://arxiv.org/abs/1611.00712.
    """

    name = "gumbel-softmax"

    def propagate(self, a: Tensor, x: Tensor, z: Tensor | None, noise: Noise) -> Tensor:
        """Return the relaxed sign in training."""
        if z is None:
            return super().propagate(a, x, z, noise)
        return torch.tanh((a - z) / self.temperature).to(a.dtype)


@register_estimator
class StraightThroughGumbelSoftmax(_Relaxation):
    r"""`st-gumbel-softmax`: $x = \mathrm{sign}(a - z)$, the derivative is that of $\tilde x$.

    The values are +-1 in training too, at the cost of a bias at every temperature.

    Args:
        temperature: As in `gumbel-softmax`.

    References:
        Jang, Gu & Poole, ICLR 2017, section 2.2.
    """

    name = "st-gumbel-softmax"

    def propagate(self, a: Tensor, x: Tensor, z: Tensor | None, noise: Noise) -> Tensor:
        """Return the sign; its gradient depends on the sampled noise."""
        if z is None:
            return super().propagate(a, x, z, noise)
        relaxed = torch.tanh((a - z) / self.temperature)
        return straight_through(relaxed, x.to(relaxed.dtype), _identity).to(a.dtype)


def _identity(relaxed: Tensor) -> float:
    return 1.0
