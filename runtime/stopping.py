"""When an ensemble may stop: when further samples are unlikely to change its leading class.

Stochastic curtailment (Lan, Simon and Halperin 1982) by predictive probability (Spiegelhalter,
Freedman and Blackburn 1986). The lead of a class over another is the difference of their
probabilities in a sample. After m of at most M samples its mean d is known, and its mean D over
all M samples is to be predicted. If leads are normal, with a flat prior on their mean and the
prior scaled-inv-chi2(1, s0^2) on their variance, then

    D ~ t_m(d, s^2 (M - m) / (m M)),    s^2 = (s0^2 + sum of (d_i - d)^2) / m,

which is Student's t with m degrees of freedom (Gelman et al., section 3.3; the prior weighs as
much as one sample). The class changes if D <= 0 for some other class. Two upper bounds on this
probability are used: the sum over all other classes (union bound), and the sum of the runner-up's
probability and that of all remaining classes merged into one, which is tighter if many classes
have little probability. An image is safe if the smaller bound is at most the stated error rate.

Checking repeatedly needs no correction: the predictive probability refers to the same event at
every check. Whenever an image stops, that event has at most the stated probability, and therefore
also on average over images. Lan, Simon and Halperin bound the error of a test by the same
argument.

The prior makes two samples sufficient if both are certain, and prevents two samples that happen to
agree from being trusted. It fails for images whose samples are certain and contradict each other:
if half of the samples do, the class changes in 13 % of such images at a stated 5 %. Antithetic
samples are treated as independent, which is conservative if the leads of a pair are negatively
correlated.

References:
    K. Lan, R. Simon, M. Halperin, Stochastically curtailed tests in long-term clinical trials,
    Communications in Statistics C 1(3), 1982.
    D. Spiegelhalter, L. Freedman, P. Blackburn, Monitoring clinical trials: conditional or
    predictive power?, Controlled Clinical Trials 7(1), 1986.
    A. Gelman et al., Bayesian Data Analysis, 3rd edition, 2013.
    H. Inoue, Adaptive ensemble prediction for deep neural networks based on confidence level,
    AISTATS 2019 (with a confidence interval of the mean instead of a prediction).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PRIOR_SCALE: Final = 0.4
"""s0, the prior scale of the standard deviation of a lead.

About the smallest value for which the class changes in no more images than stated in every
population of tests/test_stopping.py with normal logits, even if all images are hard.
"""

Real = NDArray[np.float64]


def is_safe(probabilities: NDArray[Any], max_samples: int, error_rate: float) -> NDArray[np.bool_]:
    """Decide for each image whether its class so far is safe to be that of the whole ensemble.

    Args:
        probabilities: (N, m, K), class probabilities of the samples so far.
        max_samples: M, number of samples of the whole ensemble.
        error_rate: Accepted probability that the class differs after M samples.

    Returns:
        bool (N,).
    """
    p = np.ascontiguousarray(probabilities, np.float64)
    if p.shape[1] >= max_samples or p.shape[2] == 1:
        return np.ones(len(p), np.bool_)
    order = np.argsort(-p.mean(axis=1), axis=1, kind="stable")
    ordered = np.take_along_axis(p, order[:, None], axis=2)
    leader, rest = ordered[:, :, :1], ordered[:, :, 2:]
    runner_up, *each = _overtakes(leader - ordered[:, :, 1:], max_samples).T
    together = _overtakes(leader - rest.sum(axis=2, keepdims=True), max_samples)[:, 0]
    safe: NDArray[np.bool_] = runner_up + np.minimum(np.sum(each, axis=0), together) <= error_rate
    return safe


def is_safe_for_labels(
    probabilities: NDArray[Any], max_samples: int, error_rate: float
) -> NDArray[np.bool_]:
    """Decide as `is_safe` for labels that are each present or not, at a probability of 1/2.

    Each label is a problem of two classes; their probabilities of a change are added.

    Args:
        probabilities: (N, m, ...), a probability for each label in the samples so far.
        max_samples: As in `is_safe`.
        error_rate: Accepted probability that a label of the image changes.

    Returns:
        bool (N,).
    """
    p = np.ascontiguousarray(probabilities, np.float64).reshape(*probabilities.shape[:2], -1)
    if p.shape[1] >= max_samples:
        return np.ones(len(p), np.bool_)
    leads = (2 * p - 1) * np.where(p.mean(axis=1, keepdims=True) >= 0.5, 1, -1)
    safe: NDArray[np.bool_] = _overtakes(leads, max_samples).sum(axis=1) <= error_rate
    return safe


def _overtakes(leads: Real, max_samples: int) -> Real:
    """Compute the predictive probability that the mean lead over all samples is not positive.

    Args:
        leads: (N, m, J), leads over J other classes in the samples so far.
        max_samples: M, greater than m.

    Returns:
        float64 (N, J); 0 if even leads of -1 in all further samples would not suffice.
    """
    m = leads.shape[1]
    mean = leads.mean(axis=1)
    squares = PRIOR_SCALE**2 + np.square(leads - mean[:, None]).sum(axis=1)
    error_of_mean = np.sqrt(squares / m * (max_samples - m) / (m * max_samples))
    is_certain = m * mean > max_samples - m
    return np.where(is_certain, 0, upper_tail(mean / error_of_mean, m))


def upper_tail(t: Real, degrees: int) -> Real:
    """Compute P(T > t) for Student's t with an integer number of degrees of freedom.

    In closed form: with theta = arctan(t / sqrt(degrees)),

        P(|T| <= t) = 2/pi (theta + sin theta (cos theta + 2/3 cos^3 theta + 2 4/(3 5) ...))

    up to cos^(degrees - 2) for an odd number, and

        P(|T| <= t) = sin theta (1 + 1/2 cos^2 theta + 1 3/(2 4) cos^4 theta + ...)

    for an even one. Sine and cosine are computed as t / sqrt(degrees + t^2) and
    sqrt(degrees / (degrees + t^2)), so that an even number, such as those at which an ensemble is
    checked, gives the same bits on every CPU: NumPy's own depend on its instruction set.

    References:
        M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    squares, is_odd = degrees + np.square(t), degrees % 2
    sin, cos = t / np.sqrt(squares), np.sqrt(degrees / squares)
    term, total = cos if is_odd else np.ones_like(cos), np.zeros_like(cos)
    for factor in range(2 + is_odd, degrees + 1, 2):
        total = total + term
        term = term * np.square(cos) * (factor - 1) / factor
    within = sin * total
    if is_odd:
        within = 2 / np.pi * (np.arctan(t / np.sqrt(degrees)) + within)
    tail: Real = (1 - within) / 2
    return tail
