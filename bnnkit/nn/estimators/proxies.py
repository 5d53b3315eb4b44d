"""Straight-through estimators with a freely chosen derivative, independent of the noise.

Forward x = sign(a - z), backward dL/da = g'(a) dL/dx, for a proxy g that resembles the sign. None
is derived from the distribution of x; each is biased relative to `st` unless g' = 2F'. With the
noise "none" they are estimators for deterministic networks.
"""

import torch
from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import number
from bnnkit.nn.estimators.estimator import Estimator, register_estimator


@register_estimator
class ApproxSign(Estimator):
    r"""`approx-sign`: $g'(a) = 2 - 2|a|$ where $|a| \le 1$, else 0.

    $g(a) = 2a - a|a|$ there: the sign, approximated by two parabolas. Larq's `approx_sign`.

    References:
        Liu et al., Bi-Real Net, ECCV 2018, https://arxiv.org/abs/1808.00278.
    """

    name = "approx-sign"

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """The derivative of the parabolas."""
        return (2 - 2 * a.abs()).clamp(min=0)


@register_estimator
class Polynomial(Estimator):
    r"""`polynomial`: $g'(a) = \frac{d}{w} (1 - |a|/w)^{d - 1}$ where $|a| \le w$, else 0.

    $g(a) = \mathrm{sign}(a)\,(1 - (1 - |a|/w)^d)$. Degree 1 is the clipped identity over w; degree
    2 with width 1 is `approx-sign`, with width 2 the density of the triangular noise, twice.
    Degree 2 is the training-aware approximation of RBNN, with its t = sqrt(2)/w, without its
    factor k.

    Args:
        degree: d, at least 1.
        width: w, in units of a.

    References:
        Lin et al., Rotated Binary Neural Network, NeurIPS 2020, https://arxiv.org/abs/2009.13055.
    """

    name = "polynomial"

    def __init__(self, degree: float = 2.0, width: float = 1.0) -> None:
        self.degree = number(self.name, "degree", degree, at_least=1)
        self.width = number(self.name, "width", width, above=0)

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """The derivative of g."""
        inside = (1 - a.abs() / self.width).clamp(min=0)
        slope = self.degree / self.width
        # 0 to the power of 0 is 1, also outside.
        return torch.where(a.abs() <= self.width, slope * inside ** (self.degree - 1), 0)


@register_estimator
class Tanh(Estimator):
    r"""`tanh`: $g(a) = \tanh(sa)$, $g'(a) = s (1 - \tanh^2(sa))$, with the slope $s$.

    With slope 1 it is `st` where the noise is logistic.

    Args:
        slope: $s = g'(0)$.

    References:
        Gong et al., Differentiable Soft Quantization, ICCV 2019, https://arxiv.org/abs/1908.05033,
        for one bit.
    """

    name = "tanh"

    def __init__(self, slope: float = 1.0) -> None:
        self.slope = number(self.name, "slope", slope, above=0)

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """The derivative of g."""
        return self.slope * (1 - torch.tanh(self.slope * a).square())


@register_estimator
class SwishSign(Estimator):
    r"""`swish-sign`: $g(a) = 2\sigma(ba)\,(1 + ba\,(1 - \sigma(ba))) - 1$.

    $g'(a) = \frac{b (2 - ba \tanh(ba / 2))}{1 + \cosh(ba)}$: b at 0, and slightly negative for
    $|ba| > 2.4$. Larq's `swish_sign`.

    Args:
        beta: b.

    References:
        Darabi et al., BNN+, 2018, https://arxiv.org/abs/1812.11800.
    """

    name = "swish-sign"

    def __init__(self, beta: float = 5.0) -> None:
        self.beta = number(self.name, "beta", beta, above=0)

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """The derivative of g."""
        b = self.beta * a
        # 1 / (1 + cosh b) = 2 sigmoid(b) sigmoid(-b), which does not overflow.
        weight = 2 * torch.sigmoid(b) * torch.sigmoid(-b)
        return self.beta * (2 - b * torch.tanh(b / 2)) * weight


@register_estimator
class ReSte(Estimator):
    r"""`reste`: $g = \mathrm{sign}(a)|a|^{1/o}$, $g' = |a|^{1/o - 1} / o$ where $m < |a| \le t$.

    For $|a| \le m$, where the power's derivative goes to infinity, it is the slope $g(m) / m$ of
    the chord; for $|a| > t$ it is 0. The larger o is, the more g resembles the sign, and the
    larger the gradients near 0 are.

    Args:
        power: o, at least 1; 1 is the clipped identity. The paper's code raises it from 1 to 3.
        limit: t.
        chord: m.

    References:
        Wu et al., Estimator Meets Equilibrium Perspective (ReSTE), ICCV 2023,
        https://arxiv.org/abs/2308.06689.
    """

    name = "reste"

    def __init__(self, power: float = 3.0, limit: float = 1.5, chord: float = 0.1) -> None:
        self.power = number(self.name, "power", power, at_least=1)
        self.limit = number(self.name, "limit", limit, above=0)
        self.chord = number(self.name, "chord", chord, above=0, at_most=self.limit)

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """The derivative of g."""
        size, exponent = a.abs(), 1 / self.power - 1
        slope = size.clamp(min=self.chord) ** exponent / self.power
        slope = torch.where(size <= self.chord, self.chord**exponent, slope)
        return torch.where(size <= self.limit, slope, 0)
