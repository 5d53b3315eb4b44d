"""Counters and keys of the random number generator, read by the kernels of stochastic signs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnnkit.artifact.format.sample import Sample
from bnnkit.runtime.kernels.philox import ROUNDS, round_keys
from bnnkit.runtime.memory.values import Integers


@dataclass(frozen=True, kw_only=True)
class PhiloxCounters:
    """The part of the Philox counters that is set for each pass; kernels add layer and position.

    R is the number of rows; a row is one sample of the noise for one image.

    Attributes:
        images: (R,), position of the image in the batch.
        words: (R, 3): image number, sample word and mirror mask (kernels/stochastic.py).
        keys: (10, 2), the generator's key in each round.
    """

    images: Integers
    words: Integers
    keys: Integers

    @classmethod
    def zeros(cls, rows: int) -> "PhiloxCounters":
        """Allocate counters for `rows` rows."""
        return cls(
            images=np.zeros(rows, np.int64),
            words=np.zeros((rows, 3), np.int64),
            keys=np.zeros((ROUNDS, 2), np.int64),
        )

    def first(self, rows: int) -> "PhiloxCounters":
        """Return a view of the first rows."""
        return PhiloxCounters(images=self.images[:rows], words=self.words[:rows], keys=self.keys)

    def set(self, images: Integers, numbers: Integers, samples: Sequence[Sample]) -> None:
        """Write the counters of a pass in place.

        Args:
            images: (R,), position of the image in the batch.
            numbers: (R,), image number, 0 to 2^32 - 1.
            samples: R samples, all of one seed.
        """
        self.images[:] = images
        self.words[:, 0] = numbers
        self.words[:, 1] = [sample.counter for sample in samples]
        self.words[:, 2] = [sample.mirror for sample in samples]
        self.keys[:] = round_keys(samples[0].key)
