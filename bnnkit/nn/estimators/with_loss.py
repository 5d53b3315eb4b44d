"""Parts of the estimators that evaluate the loss: sampled signs, and a given gradient."""

from collections.abc import Callable

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise, get_noise
from bnnkit.nn.base.straight_through import as_signs

Loss = Callable[[Tensor], Tensor]
"""A function from signs x in {-1, +1}, (N, ...), to the losses of N examples, (N,)."""


def noise_with_values(estimator: str, noise: str | Noise) -> Noise:
    """Return the noise with a name.

    Raises:
        UsageError: If the name is unknown or "none".
    """
    found = get_noise(noise)
    if found.name == "none":
        raise UsageError(
            f"expected a noise for {estimator}, which averages over the values of the signs, got "
            "none; use logistic"
        )
    return found


def losses_of(estimator: str, loss: Loss, x: Tensor) -> Tensor:
    """Compute the losses of signs.

    Raises:
        UsageError: If there is not one loss for each example.
    """
    losses = loss(x)
    if losses.shape != x.shape[:1]:
        raise UsageError(
            f"expected the loss of {estimator} to return one number for each of {len(x)} "
            f"examples, shape ({len(x)},), got shape {tuple(losses.shape)}; use reduction='none'"
        )
    return losses


def drawn(a: Tensor, noise: Noise) -> Tensor:
    """Sample signs sign(a - z), without gradient."""
    return as_signs(a.detach() >= noise.sample(a), a.dtype)


def score(a: Tensor, x: Tensor, noise: Noise) -> Tensor:
    """Compute the derivative of log P(x) by a, x F'(a) / F(a x), without gradient."""
    a = a.detach()
    return x * noise.pdf(a) / noise.cdf(a * x).clamp(min=torch.finfo(a.dtype).tiny)


def for_each_unit(losses: Tensor, a: Tensor) -> Tensor:
    """Reshape losses (N,) to broadcast over the units of a, without gradient."""
    return losses.detach().view(-1, *[1] * (a.dim() - 1))


def with_gradient(losses: Tensor, a: Tensor, gradient: Tensor) -> Tensor:
    """Return the losses (N,) with a given gradient in a, in addition to their own gradient."""
    passed = (gradient.detach() * a).flatten(1).sum(1)
    return losses + (passed - passed.detach())
