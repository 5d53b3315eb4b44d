"""Ensembles: average a fixed number of samples, or as many as each image needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.format.sample import Sample, samples_between
from bnnkit.runtime.memory.values import Integers
from bnnkit.runtime.stopping import is_safe
from bnnkit.runtime.uncertainty import entropy, mutual_information

SAMPLES_PER_CHECK = 2
"""Samples drawn between two checks whether an image may stop: whole antithetic pairs."""
SampleFn = Callable[[Integers, Sequence[Sample]], NDArray[np.float32]]
"""From positions of I images in a batch and S samples to class probabilities, (I, S, K)."""


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Class probabilities averaged over samples of the noise, and their uncertainty.

    Attributes:
        probabilities: float32 (N, K), mean class probabilities.
        entropy: float64 (N,), entropy of the mean probabilities in nats: the total uncertainty.
        mutual_information: float64 (N,), mutual information of class and noise in nats: the part
            of the entropy that is due to sampling. 0 for the deterministic pass.
        samples: int64 (N,), number of samples used. 0 for the deterministic pass.
    """

    probabilities: NDArray[np.float32]
    entropy: NDArray[np.float64]
    mutual_information: NDArray[np.float64]
    samples: Integers

    @classmethod
    def of_deterministic(cls, probabilities: NDArray[np.float32]) -> "Ensemble":
        """Build the result of the deterministic pass from its probabilities, (N, K)."""
        return cls(
            probabilities=probabilities,
            entropy=entropy(probabilities),
            mutual_information=np.zeros(len(probabilities)),
            samples=np.zeros(len(probabilities), np.int64),
        )

    @classmethod
    def of_samples(cls, probabilities: NDArray[np.float32]) -> "Ensemble":
        """Average the probabilities of samples, (N, S, K)."""
        images, samples, _ = probabilities.shape
        means = probabilities.mean(axis=1, dtype=np.float64)
        return cls(
            probabilities=means.astype(np.float32),
            entropy=entropy(means),
            mutual_information=mutual_information(means, entropy(probabilities).mean(axis=1)),
            samples=np.full(images, samples),
        )

    @classmethod
    def joined(cls, parts: Sequence["Ensemble"]) -> "Ensemble":
        """Concatenate the results of parts of a batch."""
        return cls(
            probabilities=np.concatenate([part.probabilities for part in parts]),
            entropy=np.concatenate([part.entropy for part in parts]),
            mutual_information=np.concatenate([part.mutual_information for part in parts]),
            samples=np.concatenate([part.samples for part in parts]),
        )

    def reordered(self, order: Integers) -> "Ensemble":
        """Return the results in another order of the images."""
        return Ensemble(**{name: part[order] for name, part in vars(self).items()})


def average(sample: SampleFn, images: int, config: EnsembleConfig) -> Ensemble:
    """Average samples of the noise.

    Args:
        sample: Computes samples of some of the images.
        images: N, number of images.
        config: Which samples; at least one, or "auto".
    """
    if config.samples == "auto":
        return _average_until_safe(sample, images, config)
    samples = samples_between(0, config.samples, config.seed, config.antithetic)
    return Ensemble.of_samples(sample(np.arange(images), samples))


def _average_until_safe(sample: SampleFn, images: int, config: EnsembleConfig) -> Ensemble:
    """Draw samples of each image until its class is safe (stopping.py), at most max_samples."""

    def draw(positions: Integers, first: int) -> NDArray[np.float32]:
        last = min(first + SAMPLES_PER_CHECK, config.max_samples)
        return sample(positions, samples_between(first, last, config.seed, config.antithetic))

    active = np.arange(images)
    used = np.zeros(images, np.int64)
    drawn = draw(active, 0)
    while True:
        used[active] = drawn.shape[1]
        active = active[~is_safe(drawn[active], config.max_samples, config.error_rate)]
        if not len(active):
            return _average_first(drawn, used)
        found = draw(active, drawn.shape[1])
        more = np.zeros((images, *found.shape[1:]), np.float32)
        more[active] = found
        drawn = np.concatenate([drawn, more], axis=1)


def _average_first(drawn: NDArray[np.float32], used: Integers) -> Ensemble:
    """Average the first `used[n]` of the samples, (N, S, K), of each image n."""
    groups = {samples: np.flatnonzero(used == samples) for samples in np.unique(used).tolist()}
    parts = [Ensemble.of_samples(drawn[here, :samples]) for samples, here in groups.items()]
    return Ensemble.joined(parts).reordered(np.argsort(np.concatenate(list(groups.values()))))
