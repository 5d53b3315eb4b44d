"""Ensembles: average a fixed number of samples, or as many as each image needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.format.sample import Sample, samples_between
from bnnkit.artifact.output_kinds import OF_CLASSES, OF_LABELS, OutputKind
from bnnkit.errors import UsageError
from bnnkit.runtime.memory.values import Array, Integers
from bnnkit.runtime.output_mean import OutputMean
from bnnkit.runtime.stopping import is_safe, is_safe_for_labels

SAMPLES_PER_CHECK = 2
"""Samples drawn between two checks whether an image may stop: whole antithetic pairs."""
Kinds = tuple[OutputKind, ...]
"""What each output of a network holds."""
SampleFn = Callable[[Integers, Sequence[Sample]], list[Array]]
"""From positions of I images in a batch and S samples to the quantities (runtime/quantity.py) of
each output, (I, S, ...)."""


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The outputs of a network, averaged over samples of the noise, and their uncertainty.

    The properties are those of the first output, for a network with class scores: mean
    probabilities, entropy and mutual information; with real values: mean and spread.

    Attributes:
        outputs: The mean of each output of the file, in its order.
        samples: int64 (N,), number of samples used. 0 for the deterministic pass.
    """

    outputs: tuple[OutputMean, ...]
    samples: Integers

    @property
    def mean(self) -> NDArray[Any]:
        """(N, ...), the mean of the first output: of probabilities, or of real values."""
        return self.outputs[0].mean

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """float32 (N, K), mean probabilities of classes; of labels in the shape of the output.

        Raises:
            UsageError: If the first output holds no probabilities.
        """
        if self.outputs[0].kind not in (*OF_CLASSES, *OF_LABELS):
            raise UsageError(
                f"expected an output of class scores or probabilities, the file holds"
                f" {self.outputs[0].kind}: use `mean`, and `spread` of real values"
            )
        return self.outputs[0].mean

    @property
    def spread(self) -> NDArray[np.float32]:
        """float32 (N, ...), the standard deviation of real values over the samples.

        Raises:
            UsageError: If the first output holds no real values.
        """
        return self._required("spread")

    @property
    def entropy(self) -> NDArray[np.float64]:
        """float64 (N,), entropy of the mean class probabilities in nats: the total uncertainty.

        Raises:
            UsageError: If the first output holds no probabilities.
        """
        return self._required("entropy")

    @property
    def mutual_information(self) -> NDArray[np.float64]:
        """float64 (N,), the part of the entropy that is due to sampling, in nats.

        Raises:
            UsageError: If the first output holds no probabilities.
        """
        return self._required("mutual_information")

    @property
    def class_probabilities(self) -> NDArray[np.float32]:
        """float32 (N, K), K at least 2; rows sum to 1. Of one label: absent, present.

        Raises:
            UsageError: If the first output does not decide between classes.
        """
        first = self.outputs[0]
        if first.kind in OF_CLASSES and first.mean.ndim == 2:
            return first.mean
        if first.kind in OF_LABELS and first.mean[0].size == 1:
            present = first.mean.reshape(-1)
            return np.stack([1 - present, present], axis=1)
        raise UsageError(
            f"expected an output of class scores, the file holds {first.kind} of shape"
            f" (N, {', '.join(map(str, first.mean.shape[1:]))})"
        )

    @classmethod
    def of_deterministic(cls, kinds: Kinds, quantities: Sequence[Array]) -> "Ensemble":
        """Build the result of the deterministic pass from each output's quantity, (N, ...)."""
        pairs = zip(kinds, quantities, strict=True)
        return cls(
            outputs=tuple(OutputMean.of_deterministic(kind, found) for kind, found in pairs),
            samples=np.zeros(len(quantities[0]), np.int64),
        )

    @classmethod
    def of_samples(cls, kinds: Kinds, quantities: Sequence[Array]) -> "Ensemble":
        """Average the quantities of each output in samples, (N, S, ...)."""
        images, samples, *_ = quantities[0].shape
        pairs = zip(kinds, quantities, strict=True)
        return cls(
            outputs=tuple(OutputMean.of_samples(kind, found) for kind, found in pairs),
            samples=np.full(images, samples),
        )

    @classmethod
    def joined(cls, parts: Sequence["Ensemble"]) -> "Ensemble":
        """Concatenate the results of parts of a batch."""
        by_output = zip(*(part.outputs for part in parts), strict=True)
        return cls(
            outputs=tuple(OutputMean.joined(outputs) for outputs in by_output),
            samples=np.concatenate([part.samples for part in parts]),
        )

    def reordered(self, order: Integers) -> "Ensemble":
        """Return the results in another order of the images."""
        outputs = tuple(output.reordered(order) for output in self.outputs)
        return Ensemble(outputs=outputs, samples=self.samples[order])

    def _required(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] | None = getattr(self.outputs[0], name)
        if found is None:
            raise UsageError(
                f"expected an output that has the attribute {name}, the file holds"
                f" {self.outputs[0].kind}: its result has {', '.join(self.outputs[0].arrays)}"
            )
        return found


def average(sample: SampleFn, images: int, kinds: Kinds, config: EnsembleConfig) -> Ensemble:
    """Average samples of the noise.

    Args:
        sample: Computes samples of some of the images.
        images: N, number of images.
        kinds: What the outputs hold.
        config: Which samples; at least one, or "auto".
    """
    if config.samples == "auto":
        return _average_until_safe(sample, images, kinds, config)
    samples = samples_between(0, config.samples, config.seed, config.antithetic)
    return Ensemble.of_samples(kinds, sample(np.arange(images), samples))


def _average_until_safe(
    sample: SampleFn, images: int, kinds: Kinds, config: EnsembleConfig
) -> Ensemble:
    """Draw samples of each image until its class is safe (stopping.py), at most max_samples."""

    def draw(positions: Integers, first: int) -> list[Array]:
        last = min(first + SAMPLES_PER_CHECK, config.max_samples)
        return sample(positions, samples_between(first, last, config.seed, config.antithetic))

    active = np.arange(images)
    used = np.zeros(images, np.int64)
    drawn = draw(active, 0)
    while True:
        used[active] = drawn[0].shape[1]
        active = active[~_are_safe(kinds, [part[active] for part in drawn], config)]
        if not len(active):
            return _average_first(kinds, drawn, used)
        found = draw(active, drawn[0].shape[1])
        drawn = [_extended(*pair, active) for pair in zip(drawn, found, strict=True)]


def _are_safe(kinds: Kinds, drawn: Sequence[Array], config: EnsembleConfig) -> NDArray[np.bool_]:
    """Decide for each image whether no output needs further samples.

    Real values and integers have no class that could become safe: they get all `max_samples`.
    """
    limits = config.max_samples, config.error_rate
    safe = np.ones(len(drawn[0]), np.bool_)
    for kind, part in zip(kinds, drawn, strict=True):
        if kind in OF_CLASSES and part.ndim == 3:
            safe &= is_safe(part, *limits)
        elif kind in OF_LABELS:
            safe &= is_safe_for_labels(part, *limits)
        else:
            safe &= part.shape[1] >= config.max_samples
    return safe


def _extended(drawn: Array, found: Array, active: Integers) -> Array:
    """Append new samples of the active images, and zeros for the others."""
    more = np.zeros((len(drawn), *found.shape[1:]), found.dtype)
    more[active] = found
    return np.concatenate([drawn, more], axis=1)


def _average_first(kinds: Kinds, drawn: Sequence[Array], used: Integers) -> Ensemble:
    """Average the first `used[n]` of the samples, (N, S, ...), of each image n."""
    groups = {samples: np.flatnonzero(used == samples) for samples in np.unique(used).tolist()}
    parts = [
        Ensemble.of_samples(kinds, [part[here, :samples] for part in drawn])
        for samples, here in groups.items()
    ]
    return Ensemble.joined(parts).reordered(np.argsort(np.concatenate(list(groups.values()))))
