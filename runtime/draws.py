"""Which random numbers a pass draws: tables that the kernels read while they run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.sample import Sample
from bnnkit.runtime.kernels.philox import ROUNDS, round_keys

Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The draws of a pass: each is one sample of the noise for one image.

    Attributes:
        images: (D,): the image's place in the batch.
        counters: (D, 3): number of the image, word of the sample, mirror.
        keys: (10, 2): the generator's keys for each round.
    """

    images: Numbers
    counters: Numbers
    keys: Numbers

    @classmethod
    def room_for(cls, draws: int) -> "Draws":
        """Tables of zeros."""
        return cls(
            images=np.zeros(draws, np.int64),
            counters=np.zeros((draws, 3), np.int64),
            keys=np.zeros((ROUNDS, 2), np.int64),
        )

    def first(self, draws: int) -> "Draws":
        """The same tables, as far as so many draws go."""
        return Draws(images=self.images[:draws], counters=self.counters[:draws], keys=self.keys)

    def set(self, images: Numbers, numbers: Numbers, samples: Sequence[Sample]) -> None:
        """Write the tables.

        Args:
            images: (D,), places in the batch.
            numbers: (D,), what the generator counts the images by.
            samples: D, all of one seed.
        """
        self.images[:] = images
        self.counters[:, 0] = numbers
        self.counters[:, 1] = [sample.counter for sample in samples]
        self.counters[:, 2] = [sample.mirror for sample in samples]
        self.keys[:] = round_keys(samples[0].key)
