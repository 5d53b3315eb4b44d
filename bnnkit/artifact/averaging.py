"""How an ensemble averages samples of the noise: how many, which, and when it may stop."""

from dataclasses import dataclass
from typing import Literal

from bnnkit.artifact.sample import MOST_SAMPLES, check_samples, check_seed, is_integer
from bnnkit.errors import UsageError

Samples = int | Literal["auto"]
MOST = 10
"""Samples of a whole ensemble, where "auto" is not told otherwise."""
ERROR = 0.02
"""With it, "auto" had the accuracy of the whole ensemble within 0.1 point for less than half of
the samples, on MNIST and CIFAR-10 (benchmarks/ensembles.py)."""


@dataclass(frozen=True, kw_only=True)
class Averaging:
    """What `Engine.ensemble` averages.

    Attributes:
        samples: How many; 0 is the deterministic pass; "auto" takes two at a time until the class
            of the whole ensemble is safe to say (runtime/stopping.py).
        seed: Of the noise, 0 to 2^64 - 1.
        antithetic: Whether samples 2j and 2j + 1 share their random numbers, 1 - u for u.
        error: Of "auto": the probability, as estimated from the samples so far (stopping.py),
            with which the whole ensemble may name another class.
        most: Of "auto": samples of the whole ensemble.

    Raises:
        UsageError: A number is out of its range.
    """

    samples: Samples = 0
    seed: int = 0
    antithetic: bool = False
    error: float = ERROR
    most: int = MOST

    def __post_init__(self) -> None:
        check_samples(0 if self.samples == "auto" else self.samples)
        check_seed(self.seed)
        if not isinstance(self.error, float | int) or not 0 < self.error < 1:
            raise UsageError(f"expected an error between 0 and 1, got {self.error!r}")
        if not is_integer(self.most) or not 1 <= self.most <= MOST_SAMPLES:
            raise UsageError(f"expected most_samples from 1 to {MOST_SAMPLES}, got {self.most!r}")
