"""The true gradient as the mean of many unbiased samples."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.gradients.estimate import loss_of_signs
from bnnkit.gradients.objective import Batch, Objective
from bnnkit.gradients.true_gradient import TrueGradient
from bnnkit.nn.estimators import arm
from bnnkit.nn.estimators.with_loss import drawn
from bnnkit.nn.sign import Sign

_GROUP = 10
"""Draws that share a leave-one-out baseline."""


def sampled_gradient(
    objective: Objective[Batch], batch: Batch, *, samples: int = 1000
) -> TrueGradient:
    """Compute the mean of unbiased estimates of the gradient of E[L].

    A network with one stochastic layer uses ARM, with two passes a sample. ARM is not unbiased for
    several layers at once, so a deep network uses REINFORCE: each sample draws the signs of all
    layers, and its baseline is the mean loss of the 9 other draws of its group. The variance of
    REINFORCE is larger; look at `TrueGradient.variance`.

    Args:
        objective: The network and its loss.
        batch: The examples.
        samples: The number of samples; for a deep network a multiple of 10. At least two
            samples or groups, to estimate the variance.

    Raises:
        UsageError: If `samples` is too small, or not such a multiple.
    """
    with torch.no_grad():
        is_deep = len(objective.inputs(batch)) > 1
    size = _GROUP if is_deep else 1
    if samples < 2 * size or samples % size:
        raise UsageError(
            f"expected samples to be a multiple of {size}, at least {2 * size}, got {samples}"
        )
    draws = _reinforce(objective, batch) if is_deep else _arm(objective, batch)
    mean, variance = _mean_and_variance(draws, samples // size)
    method = "reinforce" if is_deep else "arm"
    return TrueGradient(value=mean, variance=variance, method=method, samples=samples)


def _mean_and_variance(draws: Iterator[Tensor], n: int) -> tuple[Tensor, float]:
    """The mean of n vectors and the sum of its variances, by Welford's updates."""
    mean = next(draws).double()
    squares = 0.0
    for k in range(2, n + 1):
        draw = next(draws).double()
        difference = draw - mean
        mean += difference / k
        squares += float(difference @ (draw - mean))
    return mean, squares / (n - 1) / n


def _arm(objective: Objective[Batch], batch: Batch) -> Iterator[Tensor]:
    sign, a, loss = loss_of_signs("arm", objective, batch)
    while True:
        yield objective.gradient(arm(loss, a, noise=sign.noise).mean())


def _reinforce(objective: Objective[Batch], batch: Batch) -> Iterator[Tensor]:
    while True:
        draws = [_draw(objective, batch) for _ in range(_GROUP)]
        losses, log_p = (torch.stack(part) for part in zip(*draws, strict=True))
        advantage = (losses - losses.mean(0)).detach() * _GROUP / (_GROUP - 1)
        yield objective.gradient((advantage * log_p + losses).mean())


def _draw(objective: Objective[Batch], batch: Batch) -> tuple[Tensor, Tensor]:
    """The losses (N,) of drawn signs of all layers, and the logarithms of their probabilities."""
    terms: list[Tensor] = []

    def choose(sign: Sign, a: Tensor) -> Tensor:
        x = drawn(a, sign.noise)
        p = sign.noise.cdf(a * x).clamp(min=torch.finfo(a.dtype).tiny)
        terms.append(p.log().flatten(1).sum(1))
        return x

    with objective.choosing(choose):
        losses = objective.losses(batch)
    return losses, torch.stack(terms).sum(0)
