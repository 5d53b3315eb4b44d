"""Schedules: factors of the peak learning rate, and the scale of the noise."""

import math
from collections.abc import Callable, Sequence
from numbers import Real

import numpy as np

from bnnkit.data.own_code import is_own, named, own_function
from bnnkit.errors import ConfigError, brief

Schedule = Callable[[float], float]
"""The factor of the peak learning rate, given the share of the run that is done, in [0, 1)."""
_STEPS = (0.6, 0.8)


def make_schedule(name: str) -> Schedule:
    """Return a schedule, without the warm-up.

    Args:
        name: "constant": 1. "cosine": (1 + cos(pi t)) / 2. "linear": 1 - t. "steps": a tenth
            from t = 0.6 and a hundredth from t = 0.8 on, the paper's epochs 300 and 400 of 500.
            Or your own function as "module:function".

    Raises:
        ConfigError: Your own function is not trusted, fails, or returns no factor.
    """
    if not is_own(name):
        return _SCHEDULES[name]
    schedule = _own(name)
    schedule(0.0)
    return schedule


def warmup_factor(step: int, warmup_steps: float) -> float:
    """Return the factor of the linear warm-up; it is 1 from the last warm-up step on.

    Args:
        step: Number of steps done in the run.
        warmup_steps: Number of warm-up steps; 0 disables the warm-up.
    """
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps > 0 else 1.0


def noise_scale_at(points: Sequence[tuple[int, float]], epoch: int) -> float:
    """Return the scale of the noise in an epoch: linear between points, constant outside.

    Args:
        points: Epochs from 1, ascending, and the scale in each.
        epoch: The epoch, from 1.
    """
    epochs, scales = zip(*points, strict=True)
    return float(np.interp(epoch, epochs, scales))


def _own(name: str) -> Schedule:
    function = own_function(name)

    def schedule(progress: float) -> float:
        with named(name):
            factor = function(progress)
        is_number = isinstance(factor, Real) and not isinstance(factor, bool)
        if not is_number or not 0 <= factor < math.inf:
            raise ConfigError(
                f"expected {name} to return a factor of the learning rate, a number from 0, got "
                f"{brief(factor)} at {progress:.3g}"
            )
        return float(factor)

    return schedule


def _cosine(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def _steps(progress: float) -> float:
    return float(0.1 ** sum(progress >= step for step in _STEPS))


_SCHEDULES: dict[str, Schedule] = {
    "cosine": _cosine,
    "linear": lambda progress: 1 - progress,
    "steps": _steps,
    "constant": lambda progress: 1.0,
}
