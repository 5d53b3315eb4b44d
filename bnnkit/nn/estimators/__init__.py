"""Estimators of gradients through the sign, by name, and those that take the loss."""

from bnnkit.nn.estimators.estimator import (
    ESTIMATORS,
    Estimator,
    get_estimator,
    register_estimator,
)
from bnnkit.nn.estimators.noise_density import DeterministicStraightThrough, StraightThrough

__all__ = [
    "ESTIMATORS",
    "DeterministicStraightThrough",
    "Estimator",
    "StraightThrough",
    "get_estimator",
    "register_estimator",
]
