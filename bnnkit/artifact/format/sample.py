"""The type `Sample`: one sample of a network's noise, the same bits in every engine."""

from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral
from typing import Final, TypeGuard

from bnnkit.errors import UsageError

MOST_SAMPLES: Final = 1024
"""The largest size of an ensemble; larger ones make no measurable difference."""
TABLE_SIZE: Final = 4096
"""The number of quantiles of a noise that a file stores."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Which random numbers to use (docs/artifact.md, Sampling).

    Attributes:
        seed: The key of the generator, 0 to 2^64 - 1.
        index: The number of the sample, 0 to 2^32 - 1.
        image_offset: The number of the first image of a batch, 0 to 2^32 - 1.
        antithetic: Whether samples form antithetic pairs: where sample 2j uses a random number u,
            sample 2j + 1 uses 1 - u.

    Raises:
        UsageError: If a number is out of range.
    """

    seed: int = 0
    index: int = 0
    image_offset: int = 0
    antithetic: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_flag("antithetic", self.antithetic)
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
        """The word of the counter for the sample."""
        return self.index // 2 if self.antithetic else self.index

    @property
    def mirror(self) -> int:
        """The mask that is XORed to the index of a quantile: 4095 turns u into 1 - u."""
        return TABLE_SIZE - 1 if self.antithetic and self.index % 2 else 0


@lru_cache(maxsize=64)
def samples_between(first: int, last: int, seed: int, antithetic: bool) -> tuple[Sample, ...]:
    """Return samples `first` to `last` - 1 of an ensemble, with image offset 0."""
    return tuple(
        Sample(seed=seed, index=index, antithetic=antithetic) for index in range(first, last)
    )


def check_seed(seed: int) -> None:
    """Check a seed.

    Raises:
        UsageError: If the seed is not an integer from 0 to 2^64 - 1.
    """
    if not is_integer(seed) or not 0 <= seed < 2**64:
        raise UsageError(f"expected a seed from 0 to 2^64 - 1, got {seed!r}")


def check_samples(samples: int) -> None:
    """Check a number of samples; 0 is the deterministic pass.

    Raises:
        UsageError: If the number is not an integer from 0 to 1024.
    """
    if not is_integer(samples) or not 0 <= samples <= MOST_SAMPLES:
        raise UsageError(f"expected 0 to {MOST_SAMPLES} samples, got {samples!r}")


def check_flag(name: str, value: bool) -> None:
    """Check that a value is True or False.

    Raises:
        UsageError: If it is not; a string such as "no" would count as True.
    """
    if not isinstance(value, bool):
        raise UsageError(f"expected {name} to be True or False, got {value!r}")


def is_integer(number: object) -> TypeGuard[int]:
    """Return whether a value is an integer and not a bool."""
    # NumPy integers are Integral too, but that check is slower.
    return type(number) is int or (isinstance(number, Integral) and not isinstance(number, bool))
