"""How the learning rate falls."""

import math

_STEPS = (0.6, 0.8)


def learning_rate_factor(schedule: str, progress: float) -> float:
    """What the initial learning rate is multiplied with.

    Args:
        schedule: "constant": 1. "cosine": (1 + cos(pi t)) / 2. "steps": a tenth from t = 0.6 and a
            hundredth from t = 0.8 on, the paper's epochs 300 and 400 of 500.
        progress: t, the share of the run that is done, from 0 up to, not including, 1.
    """
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if schedule == "steps":
        return float(0.1 ** sum(progress >= step for step in _STEPS))
    return 1.0
