"""Estimators of gradients through the sign.

Estimators of layers are chosen by name in `Sign`, `binarize_`, models and configurations.
Estimators that evaluate the loss are functions, for one stochastic layer anywhere in a network:
`reinforce`, `arm`, `disarm`, `local_expectations`. docs/estimators.md compares all.
"""

from bnnkit.nn.estimators.arm import arm, disarm
from bnnkit.nn.estimators.estimator import (
    ESTIMATORS,
    Estimator,
    get_estimator,
    register_estimator,
)
from bnnkit.nn.estimators.gumbel_softmax import GumbelSoftmax, StraightThroughGumbelSoftmax
from bnnkit.nn.estimators.identity import ClippedIdentity, IdentityStraightThrough
from bnnkit.nn.estimators.local_expectations import local_expectations
from bnnkit.nn.estimators.noise_density import DeterministicStraightThrough, StraightThrough
from bnnkit.nn.estimators.proxies import ApproxSign, Polynomial, ReSte, SwishSign, Tanh
from bnnkit.nn.estimators.psa import Psa
from bnnkit.nn.estimators.quadratic import multilinear_squared_error
from bnnkit.nn.estimators.reinforce import reinforce
from bnnkit.nn.estimators.zgr import Zgr

__all__ = [
    "ESTIMATORS",
    "ApproxSign",
    "ClippedIdentity",
    "DeterministicStraightThrough",
    "Estimator",
    "GumbelSoftmax",
    "IdentityStraightThrough",
    "Polynomial",
    "Psa",
    "ReSte",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "SwishSign",
    "Tanh",
    "Zgr",
    "arm",
    "disarm",
    "get_estimator",
    "local_expectations",
    "multilinear_squared_error",
    "register_estimator",
    "reinforce",
]
