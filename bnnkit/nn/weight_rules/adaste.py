"""AdaSTE: an adaptive straight-through estimator, derived from a bilevel problem."""

from typing import Any

import torch
from torch import Tensor

from bnnkit.nn.base.differentiable import apply, with_context
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import number
from bnnkit.nn.weight_rules.scheduled import ScheduledRule, geometric
from bnnkit.nn.weight_rules.weight_rule import register_weight_rule

_ZERO = 1e-6
"""Latent weights with a smaller absolute value count as 0."""


def inner_minimum(latent: Tensor, mu: Tensor, alpha: float) -> Tensor:
    r"""Compute s(t), the w in [-1, 1] at the minimum of the inner problem.

    It minimises $\frac{1}{2}(w - t)^2 + \frac{\mu}{2}(1 + \alpha - |w|)^2$. The result is
    $s(t) = \frac{t + \mu (1 + \alpha)\,\mathrm{sign}(t)}{1 + \mu}$, clipped to [-1, 1]: the sign
    of t where $|t| \ge 1 - \mu\alpha$, and everywhere once $\mu\alpha \ge 1$.
    """
    sign = torch.where(latent >= 0, 1.0, -1.0).to(latent.dtype)
    return ((latent + mu * (1 + alpha) * sign) / (1 + mu)).clamp(-1, 1)


def slope(
    latent: Tensor,
    gradient: Tensor,
    mu: Tensor,
    alpha: float,
    reach: float,
    most: float,
    least: float = 0.0,
) -> Tensor:
    """Compute the factor of dL/dw.

    Where the loss pulls a latent weight t towards 0 and beyond (t dL/dw > 0), the factor is the
    finite difference (s(t) - s(t - beta dL/dw)) / (beta dL/dw) for beta = reach |t / (dL/dw)|, at
    most `most`; there t - beta dL/dw = (1 - reach) t is on the other side of the jump at 0.
    Elsewhere the factor is the limit for beta to 0, the derivative of s. Where |dL/dw| is `least`
    or less, it is 1 / (1 + mu) for saturated weights too, and 1 once s is the sign.
    """
    size = latent.abs()
    # s on the other side of 0; for reach 1, the limit at 0 from that side.
    other = inner_minimum((reach - 1) * size, mu, alpha)
    difference = (inner_minimum(size, mu, alpha) + other) / (reach * size.clamp(min=_ZERO))
    derivative = torch.where((size > 1 - mu * alpha) & (size > _ZERO), 0, 1 / (1 + mu))
    pulled = (latent * gradient > 0) & (size > _ZERO)
    found = torch.where(pulled, difference.clamp(max=most), derivative)
    if least == 0:
        return found
    plain = torch.where(mu * alpha >= 1, 1, 1 / (1 + mu))
    return torch.where(gradient.abs() <= least, plain, found)


@register_weight_rule
class AdaSte(ScheduledRule):
    r"""`adaste`: $w = s(\eta)$, backward $dL/d\eta = \kappa\,dL/dw$ with an adaptive slope.

    The minimum of the inner problem is

    $$s(\eta) = \mathrm{argmin}_{-1 \le w \le 1} \; (w - \eta)^2 + \mu (1 + \alpha - |w|)^2,$$

    between the clipped identity ($\mu \to 0$) and the sign, which it equals once
    $\mu\alpha \ge 1$. The slope $\kappa$ is the derivative of s. Where the loss pulls towards the
    other sign, it is a finite difference across the jump instead, so that saturated weights can
    flip. The rule optimises L(w) subject to $w = s(\eta)$, by the relaxed optimal-value
    reformulation.

    While $\mu\alpha < 1$, weights in training may be between -1 and +1. The deployed weights are
    $\mathrm{sign}(\eta)$. The rule is symmetric: the authors' code has a wrong sign in the middle
    branch of positive weights, which is not reproduced here.

    Args:
        mu: The initial weight $\mu$ of the double well; it grows geometrically to $1 / \alpha$.
        alpha: $\alpha$, the distance of the wells beyond $\pm 1$.
        exact_from: The fraction of the training from which w is exactly the sign; the authors use
            0.27 of 700 epochs. 0 disables annealing.
        reach: The step of the finite difference in units of $|\eta / (dL/dw)|$, at least 1. The
            authors' code uses 1 with annealing and 2 without.
        most_slope: The upper bound of the finite difference, as in the authors' code.
        least_gradient: Where $|dL/dw|$ is no larger, the slope is that of a plain straight-through
            estimator. The authors' code uses 1e-3, and with the mean loss of a batch most weights
            are below it. Without it, saturated weights are never pushed away from 0.

    References:
        Le, Hoier, Lin & Zach, AdaSTE: An Adaptive Straight-Through Estimator to Train Binary
        Neural Networks, CVPR 2022, https://arxiv.org/abs/2112.02880.
    """

    name = "adaste"

    def __init__(
        self,
        mu: float = 0.01,
        alpha: float = 0.01,
        exact_from: float = 0.27,
        reach: float = 1.0,
        most_slope: float = 0.5,
        least_gradient: float = 0.0,
    ) -> None:
        super().__init__()
        self.alpha = number(self.name, "alpha", alpha, above=0)
        self.mu = number(self.name, "mu", mu, above=0, at_most=1 / self.alpha)
        self.exact_from = number(self.name, "exact_from", exact_from, at_least=0, at_most=1)
        self.reach = number(self.name, "reach", reach, at_least=1)
        self.most_slope = number(self.name, "most_slope", most_slope, above=0)
        self.least_gradient = number(self.name, "least_gradient", least_gradient, at_least=0)

    def current_mu(self) -> Tensor:
        """Return the current weight of the double well; mu alpha >= 1 from `exact_from` on."""
        # If rounding made mu alpha less than 1, w would not be a sign.
        last = (1 + 1e-4) / self.alpha
        if self.exact_from == 0:
            return torch.full_like(self.progress, last)
        return geometric(self.mu, last, self.progress / self.exact_from)

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Compute the minima of the inner problem."""
        return apply(
            _AdaSte,
            _FAST,
            latent,
            self.current_mu(),
            self.alpha,
            self.reach,
            self.most_slope,
            self.least_gradient,
        )


class _AdaSte(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(
        latent: Tensor, mu: Tensor, alpha: float, reach: float, most: float, least: float
    ) -> Tensor:
        return inner_minimum(latent, mu, alpha)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        latent, mu, *ctx.options = inputs
        ctx.save_for_backward(latent, mu)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None, None, None]:
        latent, mu = ctx.saved_tensors
        gradient = grads[0] * slope(latent, grads[0], mu, *ctx.options)
        return gradient, None, None, None, None, None, None


_FAST = with_context(_AdaSte)
