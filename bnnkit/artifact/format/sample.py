"""One sample of a network's noise: what every engine needs to draw the same bits."""

from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral
from typing import Final

from bnnkit.errors import UsageError

MOST_SAMPLES: Final = 1024
"""Of an ensemble; more change nothing that can be measured."""
TABLE_SIZE: Final = 4096
"""Quantiles of a noise that a file stores."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Which random numbers (docs/artifact.md, Sampling).

    Attributes:
        seed: The key of the generator, 0 to 2^64 - 1.
        index: Number of the sample, 0 to 2^32 - 1.
        image_offset: Number of the first image of a batch, 0 to 2^32 - 1.
        antithetic: Samples 2j and 2j + 1 share their random numbers, 1 - u for u in the second.

    Raises:
        UsageError: A number is out of its range.
    """

    seed: int = 0
    index: int = 0
    image_offset: int = 0
    antithetic: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name, number in (("a sample", self.index), ("an image offset", self.image_offset)):
            if not is_integer(number) or not 0 <= number < 2**32:
                raise UsageError(f"expected {name} from 0 to 2^32 - 1, got {number!r}")

    @property
    def key(self) -> tuple[int, int]:
        """The two words of the key, the lower one first."""
        seed = int(self.seed)
        return seed & 0xFFFFFFFF, seed >> 32

    @property
    def counter(self) -> int:
        """The word of the counter that stands for the sample."""
        return self.index // 2 if self.antithetic else self.index

    @property
    def mirror(self) -> int:
        """What the index of a quantile is xored with: 4095 turns u into 1 - u."""
        return TABLE_SIZE - 1 if self.antithetic and self.index % 2 else 0


@lru_cache(maxsize=64)
def samples_between(first: int, last: int, seed: int, antithetic: bool) -> tuple[Sample, ...]:
    """The samples of an ensemble from number `first` to `last`, of images from number 0 on."""
    return tuple(
        Sample(seed=seed, index=index, antithetic=antithetic) for index in range(first, last)
    )


def check_seed(seed: int) -> None:
    """Refuse what is no seed.

    Raises:
        UsageError: It is not from 0 to 2^64 - 1.
    """
    if not is_integer(seed) or not 0 <= seed < 2**64:
        raise UsageError(f"expected a seed from 0 to 2^64 - 1, got {seed!r}")


def check_samples(samples: int) -> None:
    """Refuse a number of samples that cannot be; 0 is the deterministic pass.

    Raises:
        UsageError: It is not from 0 to MOST_SAMPLES.
    """
    if not is_integer(samples) or not 0 <= samples <= MOST_SAMPLES:
        raise UsageError(f"expected 0 to {MOST_SAMPLES} samples, got {samples!r}")


def is_integer(number: object) -> bool:
    """Whether it is a whole number, and not True or False."""
    # NumPy's are Integral too; asking for that first would cost an ensemble some microseconds.
    return type(number) is int or (isinstance(number, Integral) and not isinstance(number, bool))
