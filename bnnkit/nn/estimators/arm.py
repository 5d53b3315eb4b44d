"""ARM and DisARM: unbiased gradients from pairs of antithetic draws."""

from collections.abc import Callable

import torch
from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import count
from bnnkit.nn.base.straight_through import as_signs
from bnnkit.nn.estimators.with_loss import (
    Loss,
    for_each_unit,
    losses_of,
    noise_with_values,
    with_gradient,
)


def arm(loss: Loss, a: Tensor, *, noise: str | Noise = "logistic", samples: int = 1) -> Tensor:
    r"""Compute the loss of pairs of signs, with ARM's unbiased gradient.

    With u uniform and $p = F(a)$, the pair is $x = \mathrm{sign}(u - (1 - p))$ and
    $y = \mathrm{sign}(p - u)$, and the gradient in the logit $\log\frac{p}{1 - p}$ is
    $(L(x) - L(y))\,(u - \frac{1}{2})$. Its variance is lower than
    that of `reinforce`, and grows with the number of units. The loss may be any function.

    Args:
        loss: A function from signs (N, ...) to losses (N,).
        a: The logits of one stochastic layer, (N, ...): P(x = +1) = F(a).
        noise: A noise or its name.
        samples: The number of pairs, each with two calls of the loss.

    Returns:
        The mean loss of each example over the pairs, (N,). Its gradient in `a` is the estimate;
        its gradients in parameters of the loss are the usual ones.

    Raises:
        UsageError: If the noise is unknown or "none", `samples` is not a positive int, or the
            loss does not return (N,).

    References:
        Yin & Zhou, ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks, ICLR
        2019, https://arxiv.org/abs/1807.11143.
    """
    return _over_pairs("arm", loss, a, noise, samples, _arm)


def disarm(loss: Loss, a: Tensor, *, noise: str | Noise = "logistic", samples: int = 1) -> Tensor:
    r"""As `arm`, with DisARM's (U2G's) gradient, of lower variance.

    It is the conditional mean of ARM's gradient given the values x and y. With
    $x = \mathrm{sign}(p - u)$ and $y = \mathrm{sign}(u - (1 - p))$, the gradient in the logit is
    $\frac{1}{2} (L(x) - L(y)) \max(p, 1 - p)\,x$ where x and y differ, and 0 elsewhere.

    Args:
        loss: As in `arm`.
        a: As in `arm`.
        noise: As in `arm`.
        samples: As in `arm`.

    Returns:
        As in `arm`.

    Raises:
        UsageError: As in `arm`.

    References:
        Dong, Mnih & Tucker, DisARM: An Antithetic Gradient Estimator for Binary Latent Variables,
        NeurIPS 2020, https://arxiv.org/abs/2006.10680.
    """
    return _over_pairs("disarm", loss, a, noise, samples, _disarm)


_Factor = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""A function from x, y, u and p to the factor of L(x) - L(y)."""


def _over_pairs(
    estimator: str, loss: Loss, a: Tensor, noise: str | Noise, samples: int, factor: _Factor
) -> Tensor:
    noise = noise_with_values(estimator, noise)
    count(estimator, "samples", samples)
    p, losses, gradient = noise.cdf(a.detach()), [], torch.zeros_like(a)
    for _ in range(samples):
        u = torch.rand_like(p)
        x, y = as_signs(u < p, a.dtype), as_signs(u > 1 - p, a.dtype)
        pair = [losses_of(estimator, loss, signs) for signs in (x, y)]
        difference = for_each_unit(pair[0] - pair[1], a)
        gradient += difference * factor(x, y, u, p) / samples
        losses += pair
    gradient = gradient * _logit_derivative(a.detach(), noise)
    return with_gradient(torch.stack(losses).mean(0), a, gradient)


def _arm(x: Tensor, y: Tensor, u: Tensor, p: Tensor) -> Tensor:
    # In the paper the first value is y, the second is x.
    return 0.5 - u


def _disarm(x: Tensor, y: Tensor, u: Tensor, p: Tensor) -> Tensor:
    return (x != y) * x * torch.maximum(p, 1 - p) / 2


def _logit_derivative(a: Tensor, noise: Noise) -> Tensor:
    """The derivative of log(F(a) / (1 - F(a))); the noise is symmetric."""
    both = noise.cdf(a) * noise.cdf(-a)
    return noise.pdf(a) / both.clamp(min=torch.finfo(a.dtype).tiny)
