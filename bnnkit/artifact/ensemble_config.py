"""Configuration of an ensemble: how many samples of the noise, which ones, and when to stop."""

from dataclasses import dataclass
from numbers import Real
from typing import Literal

from bnnkit.artifact.format.sample import (
    MOST_SAMPLES,
    check_flag,
    check_samples,
    check_seed,
    is_integer,
)
from bnnkit.errors import UsageError

Samples = int | Literal["auto"]
DEFAULT_MAX_SAMPLES = 10
DEFAULT_ERROR_RATE = 0.02
"""At this rate, samples="auto" stayed within 0.1 point of the accuracy of the whole ensemble for
less than half of the samples, on MNIST and CIFAR-10 (benchmarks/ensembles.py)."""


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """Which samples of the noise an ensemble averages over.

    Attributes:
        samples: Number of samples, 0 to 1024. 0 is the deterministic pass. "auto" draws two
            samples at a time for each image and stops as soon as more samples are unlikely to
            change its class (runtime/stopping.py).
        seed: Seed of the noise, 0 to 2^64 - 1.
        antithetic: Whether samples 2j and 2j + 1 share their random numbers: 1 - u in place of u.
        error_rate: For "auto": the accepted probability, between 0 and 1, that `max_samples`
            samples would give another class than the samples drawn so far.
        max_samples: For "auto": the size of the whole ensemble, 1 to 1024.

    Raises:
        UsageError: If a number is out of range, or a value has another type.
    """

    samples: Samples = 0
    seed: int = 0
    antithetic: bool = False
    error_rate: float = DEFAULT_ERROR_RATE
    max_samples: int = DEFAULT_MAX_SAMPLES

    def __post_init__(self) -> None:
        if not (isinstance(self.samples, str) and self.samples == "auto"):
            check_samples(self.samples)
        check_seed(self.seed)
        check_flag("antithetic", self.antithetic)
        if not isinstance(self.error_rate, Real) or not 0 < self.error_rate < 1:
            raise UsageError(f"expected error_rate between 0 and 1, got {self.error_rate!r}")
        if not is_integer(self.max_samples) or not 1 <= self.max_samples <= MOST_SAMPLES:
            raise UsageError(
                f"expected max_samples from 1 to {MOST_SAMPLES}, got {self.max_samples!r}"
            )
        is_limited = self.max_samples != DEFAULT_MAX_SAMPLES
        if is_limited and self.samples != "auto" and self.samples > self.max_samples:
            raise UsageError(
                f'expected samples="auto" with max_samples={self.max_samples}, got'
                f" samples={self.samples}"
            )
