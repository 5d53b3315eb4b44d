"""REINFORCE: the score function estimator, with a baseline."""

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import count
from bnnkit.nn.estimators.with_loss import (
    Loss,
    drawn,
    for_each_unit,
    losses_of,
    noise_with_values,
    score,
    with_gradient,
)


def reinforce(
    loss: Loss,
    a: Tensor,
    *,
    noise: str | Noise = "logistic",
    samples: int = 1,
    baseline: float | Tensor | None = None,
) -> Tensor:
    r"""Loss of sampled signs, with the unbiased gradient $(L(x) - c)\,d \log P(x) / da$.

    The loss may be any function, even if it is not differentiable in x. The variance grows with
    the number of units.

    Args:
        loss: A function from signs (N, ...) to losses (N,).
        a: The logits of one stochastic layer, (N, ...): P(x = +1) = F(a).
        noise: A noise or its name.
        samples: K, the number of draws, each with a call of the loss.
        baseline: c, a number or (N,), which must not depend on the draws. None is the mean loss of
            the other draws (leave-one-out), and 0 with one draw.

    Returns:
        The mean loss of each example over the draws, (N,). Its gradient in `a` is the estimate;
        its gradients in parameters of the loss are the usual ones.

    Raises:
        UsageError: If the noise is unknown or "none", `samples` is not a positive int, or the
            loss does not return (N,).

    References:
        Williams, Simple Statistical Gradient-Following Algorithms, 1992; Kool, van Hoof & Welling,
        Buy 4 REINFORCE Samples, Get a Baseline for Free!, 2019.
    """
    noise = noise_with_values("reinforce", noise)
    count("reinforce", "samples", samples)
    if isinstance(baseline, Tensor) and baseline.shape not in ((), a.shape[:1]):
        raise UsageError(
            f"expected a baseline of shape () or ({len(a)},), got {tuple(baseline.shape)}"
        )
    draws = [drawn(a, noise) for _ in range(samples)]
    losses = torch.stack([losses_of("reinforce", loss, x) for x in draws])
    advantages = _advantages(losses.detach(), baseline)
    gradient = torch.zeros_like(a)
    for x, advantage in zip(draws, advantages, strict=True):
        gradient += for_each_unit(advantage, a) * score(a, x, noise) / samples
    return with_gradient(losses.mean(0), a, gradient)


def _advantages(losses: Tensor, baseline: float | Tensor | None) -> Tensor:
    """Subtract the baselines from losses (K, N)."""
    samples = len(losses)
    if baseline is not None:
        return losses - baseline
    if samples == 1:
        return losses
    return (losses - losses.mean(0)) * samples / (samples - 1)
