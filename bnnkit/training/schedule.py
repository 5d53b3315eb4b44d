"""Learning-rate schedules: factors of the peak learning rate."""

import math

_STEPS = (0.6, 0.8)


def learning_rate_factor(schedule: str, progress: float) -> float:
    """Return the factor of the peak learning rate, without the warm-up.

    Args:
        schedule: "constant": 1. "cosine": (1 + cos(pi t)) / 2. "linear": 1 - t. "steps": a tenth
            from t = 0.6 and a hundredth from t = 0.8 on, the paper's epochs 300 and 400 of 500.
        progress: t, the share of the run that is done, in [0, 1).
    """
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if schedule == "linear":
        return 1 - progress
    if schedule == "steps":
        return float(0.1 ** sum(progress >= step for step in _STEPS))
    return 1.0


def warmup_factor(step: int, warmup_steps: float) -> float:
    """Return the factor of the linear warm-up; it is 1 from the last warm-up step on.

    Args:
        step: Number of steps done in the run.
        warmup_steps: Number of warm-up steps; 0 disables the warm-up.
    """
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps > 0 else 1.0
