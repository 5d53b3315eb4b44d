"""The mean of one output over samples of the noise, and how the samples differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.output_kinds import OF_CLASSES, OF_LABELS, OutputKind
from bnnkit.runtime.memory.values import Array, Integers
from bnnkit.runtime.uncertainty import entropy, label_entropy, mutual_information

Real = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OutputMean:
    """One output, averaged over samples of the noise.

    Attributes:
        kind: What the output holds.
        mean: (N, ...), the shape of the output. Mean probabilities or mean real values, float32;
            of integers the most frequent value, and the smallest of several.
        spread: float32 (N, ...), the standard deviation of real values over the samples, 0 for the
            deterministic pass; None for other kinds.
        entropy: The entropy of the mean probabilities in nats, the total uncertainty: float64 (N,)
            of classes, (N, ...) of labels; None for other kinds.
        mutual_information: The mutual information of class and noise in nats, the part of the
            entropy that is due to sampling, of the same shape. 0 for the deterministic pass.
    """

    kind: OutputKind
    mean: NDArray[Any]
    spread: NDArray[np.float32] | None = None
    entropy: Real | None = None
    mutual_information: Real | None = None

    @classmethod
    def of_deterministic(cls, kind: OutputKind, quantity: Array) -> "OutputMean":
        """Build the result of the deterministic pass, (N, ...)."""
        if kind == "values":
            return cls(kind=kind, mean=quantity, spread=np.zeros_like(quantity))
        found = _entropy(kind, quantity)
        return cls(
            kind=kind,
            mean=quantity,
            entropy=found,
            mutual_information=None if found is None else np.zeros_like(found),
        )

    @classmethod
    def of_samples(cls, kind: OutputKind, quantities: Array) -> "OutputMean":
        """Average the quantities of samples, (N, S, ...)."""
        if kind == "integers":
            return cls(kind=kind, mean=_most_frequent(quantities))
        means = _mean(quantities)
        mean = means.astype(np.float32)
        if kind == "values":
            spread = quantities.std(axis=1, dtype=np.float64).astype(np.float32)
            return cls(kind=kind, mean=mean, spread=spread)
        total, of_samples = _entropy(kind, means), _entropy(kind, quantities)
        if total is None or of_samples is None:
            return cls(kind=kind, mean=mean)
        own = of_samples.mean(axis=1)
        if kind in OF_CLASSES:
            information = mutual_information(means, own)
        else:
            information = np.maximum(total - own, 0)  # negative only by rounding
        return cls(kind=kind, mean=mean, entropy=total, mutual_information=information)

    @classmethod
    def joined(cls, parts: Sequence["OutputMean"]) -> "OutputMean":
        """Concatenate the results of parts of a batch."""
        arrays = {name: [part.arrays[name] for part in parts] for name in parts[0].arrays}
        return cls(kind=parts[0].kind, **{name: np.concatenate(a) for name, a in arrays.items()})

    def reordered(self, order: Integers) -> "OutputMean":
        """Return the results in another order of the images."""
        return OutputMean(
            kind=self.kind, **{name: array[order] for name, array in self.arrays.items()}
        )

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays that this kind has, by the names of the attributes."""
        found = {name: value for name, value in vars(self).items() if name != "kind"}
        return {name: value for name, value in found.items() if value is not None}


def _mean(quantities: Array) -> Real:
    """The mean of (N, S, ...) over samples, added in their order: the same bits everywhere."""
    total = np.zeros((len(quantities), *quantities.shape[2:]))
    for sample in range(quantities.shape[1]):
        total += quantities[:, sample]
    return total / quantities.shape[1]


def _entropy(kind: OutputKind, quantities: Array) -> Real | None:
    """The entropy of the last axis for classes, (N, [S,] K), or of each number for labels."""
    if kind in OF_LABELS:
        return label_entropy(quantities)
    return entropy(quantities) if kind in OF_CLASSES else None


def _most_frequent(numbers: Array) -> Array:
    """The most frequent of the S integers in (N, S, ...), and the smallest of several."""
    ordered = np.sort(numbers, axis=1)
    counts = np.stack(
        [(ordered == one[:, None]).sum(axis=1) for one in np.moveaxis(ordered, 1, 0)], axis=1
    )
    first = counts.argmax(axis=1)[:, None]
    return np.asarray(np.take_along_axis(ordered, first, axis=1)[:, 0])
