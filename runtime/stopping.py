"""When an ensemble may stop: its leading class would hardly be another after all the samples.

Stochastic curtailment (Lan, Simon and Halperin 1982) by predictive probability (Spiegelhalter,
Freedman and Blackburn 1986). After m of at most M samples, the lead D of a class over others is
known on average so far, d, and wanted on average over all M. If leads are normal, with a mean
of which nothing is known and a variance with the prior scaled-inv-chi2(1, s0^2), then

    D ~ t_m(d, s^2 (M - m) / (m M)),    s^2 = (s0^2 + sum of (d_i - d)^2) / m,

Student's t with m degrees of freedom (Gelman et al., section 3.3, where the prior's weight is one
sample's). The class may become another where some D <= 0. By the union bound that has at most
the sum of the probabilities over all other classes. But where many classes are left that hardly
count, they fail together: so at most the runner-up's, and that of all the rest as if it were one
class. An image is safe where the smaller sum is at most the error that was stated.

Looking often needs no correction: the predictive probability is that of the same event at every
look, so whenever an image stops, that event has at most the stated probability, and so it has on
average over all images. Lan, Simon and Halperin bound a test's error by the same argument.

The prior is what makes two samples enough where both are sure, and keeps two samples that happen
to be alike from being believed. What it cannot see is an image whose samples are certain and
contradict each other: where half of them do, the class changes in 13 % of such images at a stated
5 %. Samples that share random numbers in pairs count as if they did not, which is careful where
the pair's leads vary against each other.

References:
    K. Lan, R. Simon, M. Halperin, Stochastically curtailed tests in long-term clinical trials,
    Communications in Statistics C 1(3), 1982.
    D. Spiegelhalter, L. Freedman, P. Blackburn, Monitoring clinical trials: conditional or
    predictive power?, Controlled Clinical Trials 7(1), 1986.
    A. Gelman et al., Bayesian Data Analysis, 3rd edition, 2013.
    For ensembles of networks, with an interval for the mean in place of a prediction: H. Inoue,
    Adaptive ensemble prediction for deep neural networks based on confidence level, AISTATS 2019.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SPREAD: Final = 0.4
"""s0, the standard deviation of a lead that the prior takes for likely.

About the smallest for which the class changes in no more images than stated in every population
of tests/test_stopping.py whose samples have normal logits, also where all images are hard.
"""

Real = NDArray[np.float64]


def is_safe(probabilities: NDArray[Any], most: int, error: float) -> NDArray[np.bool_]:
    """Whether the class of the mean can be taken as that of the whole ensemble.

    Args:
        probabilities: (N, m, K), the class probabilities of each sample so far.
        most: M, the samples of the whole ensemble.
        error: The probability with which the class may be another after M samples.

    Returns:
        (N,).
    """
    p = np.ascontiguousarray(probabilities, np.float64)
    if p.shape[1] >= most or p.shape[2] == 1:
        return np.ones(len(p), np.bool_)
    order = np.argsort(-p.mean(axis=1), axis=1, kind="stable")
    ordered = np.take_along_axis(p, order[:, None], axis=2)
    leader, rest = ordered[:, :, :1], ordered[:, :, 2:]
    runner_up, *each = _overtakes(leader - ordered[:, :, 1:], most).T
    together = _overtakes(leader - rest.sum(axis=2, keepdims=True), most)[:, 0]
    safe: NDArray[np.bool_] = runner_up + np.minimum(np.sum(each, axis=0), together) <= error
    return safe


def _overtakes(leads: Real, most: int) -> Real:
    """The predictive probability that the mean lead over all samples is not positive.

    Args:
        leads: (N, m, J), in each sample so far, over J others.
        most: M, more than m.

    Returns:
        (N, J); 0 where even leads of -1 in all further samples could not do it.
    """
    m = leads.shape[1]
    mean = leads.mean(axis=1)
    squares = SPREAD**2 + np.square(leads - mean[:, None]).sum(axis=1)
    error_of_mean = np.sqrt(squares / m * (most - m) / (m * most))
    is_certain = m * mean > most - m
    return np.where(is_certain, 0, upper_tail(mean / error_of_mean, m))


def upper_tail(t: Real, degrees: int) -> Real:
    """P(T > t) for Student's t with an integer number of degrees of freedom.

    In closed form: with theta = arctan(t / sqrt(degrees)),

        P(|T| <= t) = 2/pi (theta + sin theta (cos theta + 2/3 cos^3 theta + 2 4/(3 5) ...))

    up to cos^(degrees - 2) for an odd number, and

        P(|T| <= t) = sin theta (1 + 1/2 cos^2 theta + 1 3/(2 4) cos^4 theta + ...)

    for an even one.

    References:
        M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    theta = np.arctan(t / np.sqrt(degrees))
    cos, is_odd = np.cos(theta), degrees % 2
    term, total = cos if is_odd else np.ones_like(theta), np.zeros_like(theta)
    for factor in range(2 + is_odd, degrees + 1, 2):
        total = total + term
        term = term * np.square(cos) * (factor - 1) / factor
    within = np.sin(theta) * total
    if is_odd:
        within = 2 / np.pi * (theta + within)
    tail: Real = (1 - within) / 2
    return tail
