"""Expected cosine similarity, expected improvement and RMSE of an estimator.

References:
    Shekhovtsov & Yanush, Reintroducing Straight-Through Estimators as Principled Methods for
    Stochastic Binary Networks, GCPR 2021, appendix D.2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.gradients.estimate import Candidate, estimate
from bnnkit.gradients.objective import Batch, Objective
from bnnkit.gradients.true_gradient import TrueGradient

_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    r"""How accurate the estimates h of an estimator are, compared with the true gradients g.

    Expectations are means over all batches and trials. The g of an estimate is that of the same
    batch, so the noise of the choice of a batch does not count. Intervals are percentiles of a
    bootstrap that draws the trials of each batch again 1000 times; they hold the randomness of
    the estimates, not that of g (`truth_rms_error`).

    Attributes:
        cosine: $\mathbb{E}[\langle g, h\rangle / (|g| |h|)]$, equation 60; an estimate of 0 counts
            as 0. NaN if a true gradient is 0.
        improvement: $-\mathbb{E}[\langle g, h\rangle] / \sqrt{\mathbb{E}[|h|^2]}$, equation 65:
            the decrease of the loss at the best step size, negative if the estimator points
            downhill. 0 if every estimate is 0.
        rmse: $\sqrt{\mathbb{E}[|g - h|^2]}$, equation 66.
        best_improvement: The improvement of $h = g$, $-\sqrt{\mathbb{E}[|g|^2]}$; no estimator has
            less.
        truth_rms_error: sqrt of the mean `TrueGradient.variance`: the RMSE that g itself has.
        level: The confidence level of the intervals.
        trials: Estimates for each batch.
        batches: The number of batches.
    """

    cosine: Interval
    improvement: Interval
    rmse: Interval
    best_improvement: float
    truth_rms_error: float
    level: float
    trials: int
    batches: int

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Accuracy":
        """Return the accuracy of a record that `dataclasses.asdict` made, such as of JSON."""
        intervals = {name: Interval(**record[name]) for name in ("cosine", "improvement", "rmse")}
        return cls(**{**record, **intervals})


def measure(
    objective: Objective[Batch],
    batches: Sequence[Batch],
    truths: Sequence[TrueGradient],
    *,
    estimator: Candidate | None = None,
    trials: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> Accuracy:
    """Compare estimates of the gradient with the true gradient.

    Args:
        objective: The network and its loss.
        batches: What the loss takes, each with its own examples.
        truths: The true gradient for each batch, by `exact_gradient` or `sampled_gradient`.
        estimator: As in `estimate`; None is the estimators that the signs have.
        trials: Estimates for each batch.
        level: The confidence level.
        seed: Seed of the noise and of the bootstrap; the global generators are left unchanged.

    Raises:
        UsageError: If the numbers of batches and true gradients differ or are 0, `trials` is less
            than 2, `level` is not between 0 and 1, or as in `estimate`.
    """
    if not batches or len(batches) != len(truths):
        raise UsageError(
            f"expected one true gradient for each batch, got {len(batches)} batches and "
            f"{len(truths)} true gradients"
        )
    if trials < 2 or not 0 < level < 1:
        raise UsageError(
            f"expected 2 trials or more and a level between 0 and 1, got {trials} and {level}"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        rows = [
            [products(truth.value, estimate(objective, batch, estimator)) for _ in range(trials)]
            for batch, truth in zip(batches, truths, strict=True)
        ]
    return accuracy_of(
        np.array(rows),
        variances=[truth.variance for truth in truths],
        norms=[float(truth.value.double().norm()) for truth in truths],
        level=level,
        seed=seed,
    )


def products(g: Tensor, h: Tensor) -> tuple[float, float, float, float]:
    """Return the cosine of g and h, <g, h>, |h|^2 and |g - h|^2, for vectors (P,)."""
    g, h = g.double(), h.double()
    inner, size = float(g @ h), float(h.norm())
    length = float(g.norm()) * size
    cosine = inner / length if length else (0.0 if g.any() else float("nan"))
    return cosine, inner, size**2, float((g - h).square().sum())


def accuracy_of(
    rows: NDArray[np.float64],
    *,
    variances: Sequence[float],
    norms: Sequence[float],
    level: float,
    seed: int,
) -> Accuracy:
    """Compute the metrics of estimates from their `products`.

    Args:
        rows: `products` of B batches and T trials, (B, T, 4).
        variances: `TrueGradient.variance`, for each batch.
        norms: |g|, for each batch.
        level: The confidence level.
        seed: Seed of the bootstrap.
    """
    resampled = _resampled_means(rows, seed)
    tails = [(1 - level) / 2, (1 + level) / 2]

    def interval(statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Interval:
        low, high = np.quantile(statistic(resampled), tails)
        value = statistic(rows.mean((0, 1)))
        return Interval(value=float(value), low=float(low), high=float(high))

    return Accuracy(
        cosine=interval(lambda means: means[..., 0]),
        improvement=interval(_improvement),
        rmse=interval(lambda means: np.sqrt(means[..., 3])),
        best_improvement=-float(np.sqrt(np.mean(np.square(norms)))),
        truth_rms_error=float(np.sqrt(np.mean(variances))),
        level=level,
        trials=rows.shape[1],
        batches=rows.shape[0],
    )


def _improvement(means: NDArray[np.float64]) -> NDArray[np.float64]:
    inner, square = means[..., 1], means[..., 2]
    improvement: NDArray[np.float64] = -inner / np.sqrt(np.where(square > 0, square, 1))
    return improvement


def _resampled_means(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means over batches and trials of bootstrap resamples of the trials, (R, 4)."""
    n_batches, n_trials, _ = rows.shape
    counts = _resamples(n_batches, n_trials, seed)
    sums: NDArray[np.float64] = np.einsum("rbt,btk->rk", counts, rows, optimize=True)
    return sums / (n_batches * n_trials)


@lru_cache(maxsize=1)  # the same for every estimator, and slower than all else
def _resamples(n_batches: int, n_trials: int, seed: int) -> NDArray[np.float64]:
    """How often each trial of each batch is drawn in each resample, (R, B, T)."""
    rng = np.random.default_rng(seed)
    chances = np.full(n_trials, 1 / n_trials)
    return rng.multinomial(n_trials, chances, (_RESAMPLES, n_batches)).astype(np.float64)
