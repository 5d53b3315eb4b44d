"""How unsure an ensemble is, and how much of that is due to the sampling.

The entropy of the mean probabilities is all of the uncertainty. The mean entropy of the samples is
what a single sample has already; the difference is the mutual information between the class and
the noise: large where each sample is sure and they contradict each other. All in nats.

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
    """-sum_k p_k log p_k, with 0 log 0 = 0.

    Args:
        probabilities: (..., K), rows that sum to 1.

    Returns:
        (...), from 0 to log K.
    """
    p = np.asarray(probabilities, np.float64)
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1))


def mutual_information(mean: NDArray[Any], mean_entropy: NDArray[Any]) -> Real:
    """The part of the entropy that is due to the sampling.

    Args:
        mean: (N, K), mean probabilities of the samples.
        mean_entropy: (N,), the mean of the samples' entropies.

    Returns:
        entropy(mean) - mean_entropy, (N,), from 0 to log K.
    """
    return np.asarray(np.maximum(entropy(mean) - mean_entropy, 0))  # below 0 by rounding alone
