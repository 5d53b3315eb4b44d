"""Averaging samples of the noise: as many as are asked for, or as many as an image needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.sample import samples_between
from bnnkit.runtime.sampler import Drawing, Sampler
from bnnkit.runtime.stopping import is_safe
from bnnkit.runtime.uncertainty import entropy, mutual_information
from bnnkit.runtime.values import Array

LOOK = 2
"""Samples between two looks at whether an image is safe: whole antithetic pairs."""
Numbers = NDArray[np.int64]
Drawer = Callable[[Numbers, int, int], NDArray[np.float32]]
"""Probabilities of samples of images: `Draw`, or what does as it."""


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """What some samples of a network say, together.

    Attributes:
        probabilities: float32 (N, K), the mean of the samples' class probabilities.
        entropy: (N,), of these probabilities, in nats: all of the uncertainty.
        mutual_information: (N,), between class and noise, in nats: the part of the entropy that
            is due to the sampling; 0 for the deterministic pass.
        samples: (N,), how many samples were used; 0 for the deterministic pass.
    """

    probabilities: NDArray[np.float32]
    entropy: NDArray[np.float64]
    mutual_information: NDArray[np.float64]
    samples: Numbers

    @classmethod
    def of_deterministic(cls, probabilities: NDArray[np.float32]) -> "Ensemble":
        """That of the network without noise."""
        return cls(
            probabilities=probabilities,
            entropy=entropy(probabilities),
            mutual_information=np.zeros(len(probabilities)),
            samples=np.zeros(len(probabilities), np.int64),
        )

    @classmethod
    def of_samples(cls, probabilities: NDArray[np.float32]) -> "Ensemble":
        """That of samples, (N, samples, K)."""
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
        """Those of the parts of a batch as one."""
        return cls(
            probabilities=np.concatenate([part.probabilities for part in parts]),
            entropy=np.concatenate([part.entropy for part in parts]),
            mutual_information=np.concatenate([part.mutual_information for part in parts]),
            samples=np.concatenate([part.samples for part in parts]),
        )

    def reordered(self, order: Numbers) -> "Ensemble":
        """Those of the images in another order."""
        return Ensemble(**{name: part[order] for name, part in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Gives class probabilities of draws: samples `first` to `last` of some images.

    Attributes:
        sampler: The network.
        drawing: The images.
        output: Name of the value whose softmax it is.
        probabilities: From that value to probabilities.
        seed: Of the generator.
        antithetic: Whether samples share random numbers in pairs.
    """

    sampler: Sampler
    drawing: Drawing
    output: str
    probabilities: Callable[[Array], NDArray[np.float32]]
    seed: int
    antithetic: bool

    def __call__(self, images: Numbers, first: int, last: int) -> NDArray[np.float32]:
        """Probabilities of samples of images at these places, (images, last - first, K)."""
        samples = samples_between(first, last, self.seed, self.antithetic)
        by_weights: dict[int, list[int]] = {}
        for place, sample in enumerate(samples):
            by_weights.setdefault(self.sampler.weights_of(sample.index), []).append(place)
        found: list[NDArray[np.float32] | None] = [None] * len(samples)
        for weights, places in by_weights.items():
            drawn = self.drawing.run(
                np.repeat(images, len(places)),
                [samples[place] for place in places] * len(images),
                weights,
                (self.output,),
            )[self.output]
            p = self.probabilities(drawn).reshape(len(images), len(places), -1)
            for index, place in enumerate(places):
                found[place] = p[:, index]
        return np.stack([p for p in found if p is not None], axis=1)


def fixed(draw: Drawer, images: int, samples: int) -> Ensemble:
    """So many samples of each of the images."""
    return Ensemble.of_samples(draw(np.arange(images), 0, samples))


def adaptive(draw: Drawer, images: int, most: int, error: float) -> Ensemble:
    """Samples of each image until its class is safe (stopping.py), at most so many."""
    open_images = np.arange(images)
    used = np.zeros(images, np.int64)
    taken = draw(open_images, 0, min(LOOK, most))
    while True:
        samples = taken.shape[1]
        used[open_images] = samples
        open_images = open_images[~is_safe(taken[open_images], most, error)]
        if not len(open_images):
            return _of_different_numbers(taken, used)
        more = np.zeros((images, min(LOOK, most - samples), taken.shape[2]), np.float32)
        more[open_images] = draw(open_images, samples, samples + more.shape[1])
        taken = np.concatenate([taken, more], axis=1)


def _of_different_numbers(taken: NDArray[np.float32], used: Numbers) -> Ensemble:
    """The ensemble of the first `used` samples of each image."""
    groups = {samples: np.flatnonzero(used == samples) for samples in np.unique(used).tolist()}
    parts = [Ensemble.of_samples(taken[here, :samples]) for samples, here in groups.items()]
    return Ensemble.joined(parts).reordered(np.argsort(np.concatenate(list(groups.values()))))
