"""How good predicted probabilities are: accuracy, log loss, Brier score, calibration error.

Everywhere: probabilities (N, K), any float dtype, rows that sum to 1; labels (N,), integers from 0
to K - 1. The results are fractions or nats.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UsageError

N_BINS = 15
_SMALLEST = float(np.finfo(np.float32).tiny)
_ROW_SUM_TOLERANCE = 1e-3  # float16 probabilities of 1000 classes sum to 1 within this


def accuracy(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Fraction of examples whose most probable class is the label; of equal ones the first counts.

    Raises:
        UsageError: The arrays are not probabilities and labels, as for every function here.
    """
    p, y = _checked(probabilities, labels)
    return float(np.mean(p.argmax(axis=1) == y))


def nll(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean negative log likelihood of the labels, -log p[y], in nats.

    Probabilities below float32's smallest normal number, 1.2e-38, count as that, so one
    example adds at most 87.3 / N and the mean stays finite.
    """
    p, y = _checked(probabilities, labels)
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], _SMALLEST)).mean())


def brier(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Brier score, the mean over examples of sum_k (p_k - [y = k])^2, from 0 to 2.

    References:
        G. Brier, Verification of forecasts expressed in terms of probability, 1950.
    """
    p, y = _checked(probabilities, labels)
    p[np.arange(len(y)), y] -= 1
    return float(np.square(p).sum(axis=1).mean())


def ece(probabilities: NDArray[Any], labels: NDArray[Any], n_bins: int = N_BINS) -> float:
    """Expected calibration error: how far confidence is from accuracy, from 0 to 1.

    The confidence of an example is its largest probability. Bin b of B holds the confidences in
    ((b - 1) / B, b / B]; with n_b examples in it, ECE = sum_b n_b / N |accuracy_b - confidence_b|.

    References:
        C. Guo et al., On calibration of modern neural networks, ICML 2017, equation 3.
    """
    p, y = _checked(probabilities, labels)
    confidence = p.max(axis=1)
    edges = np.arange(1, n_bins) / n_bins
    bins = np.searchsorted(edges, confidence, side="left")
    gap = (p.argmax(axis=1) == y) - confidence
    return float(np.abs(np.bincount(bins, gap, minlength=n_bins)).sum() / len(y))


def _checked(
    probabilities: NDArray[Any], labels: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    p, y = np.array(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 2 or p.size == 0 or y.shape != (len(p),):
        raise UsageError(
            f"expected probabilities (N, K) and labels (N,) with N > 0, "
            f"got {p.shape} and {y.shape}"
        )
    # NaN fails every comparison, so the question is whether all is well.
    if not (np.all(p >= 0) and np.all(np.abs(p.sum(axis=1) - 1) <= _ROW_SUM_TOLERANCE)):
        raise UsageError("expected probabilities: numbers from 0 whose rows sum to 1")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= p.shape[1]:
        raise UsageError(f"expected labels that are integers from 0 to {p.shape[1] - 1}")
    return p, y.astype(np.int64)
