"""Uncertainty of an ensemble: entropy and mutual information, in nats.

The entropy of the mean probabilities is the total uncertainty. The mean entropy of the samples is
the part that a single sample has already. The difference is the mutual information of class and
noise: it is large if each sample is certain but the samples contradict each other.

References:
    N. Houlsby et al., Bayesian active learning for classification and preference learning, 2011,
    https://arxiv.org/abs/1112.5745, equation 2.
    S. Depeweg et al., Decomposition of uncertainty in Bayesian deep learning for efficient and
    risk-sensitive learning, ICML 2018, section 3.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def entropy(probabilities: NDArray[Any]) -> Real:
    """Compute -sum_k p_k log p_k in nats, with 0 log 0 = 0.

    Args:
        probabilities: (..., K); rows sum to 1.

    Returns:
        float64 (...), from 0 to log K.
    """
    p = np.asarray(probabilities, np.float64)
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1))


def label_entropy(probabilities: NDArray[Any]) -> Real:
    """Compute -p log p - (1 - p) log(1 - p) of each probability, in nats."""
    p = np.asarray(probabilities, np.float64)
    return entropy(np.stack([p, 1 - p], axis=-1))


def mutual_information(mean: NDArray[Any], mean_entropy: NDArray[Any]) -> Real:
    """Compute the part of the entropy that is due to sampling, in nats.

    Args:
        mean: (N, K), mean probabilities of the samples.
        mean_entropy: (N,), mean entropy of the samples.

    Returns:
        float64 (N,), entropy(mean) - mean_entropy, from 0 to log K.
    """
    return np.asarray(np.maximum(entropy(mean) - mean_entropy, 0))  # negative only by rounding
