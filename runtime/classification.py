"""The most probable classes of images, with their names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bnnkit.artifact.output_kinds import OF_CLASSES, OF_LABELS
from bnnkit.errors import UsageError
from bnnkit.runtime.ensemble import Ensemble
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.output_mean import OutputMean


@dataclass(frozen=True)
class ClassProbability:
    """A class and its probability.

    Attributes:
        label: The name of the class in the file; its number if the file has no names.
        index: The number of the class, from 0.
        probability: From 0 to 1.
    """

    label: str
    index: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class Classification:
    """The most probable classes of an image.

    Attributes:
        image: The path of the image, or "image 3" for one without a path, counted from 0.
        top: The most probable classes, the best first; of equals the one with the smaller number.
        entropy: The entropy of the probabilities in nats, the total uncertainty; None for labels
            that may hold together.
        mutual_information: The part of the entropy that is due to the sampling, in nats; 0 for the
            deterministic pass.
        samples: The number of samples used; 0 for the deterministic pass.
    """

    image: str
    top: tuple[ClassProbability, ...]
    entropy: float | None
    mutual_information: float | None
    samples: int

    @property
    def label(self) -> str:
        """The name of the most probable class."""
        return self.top[0].label

    @property
    def probability(self) -> float:
        """The probability of the most probable class."""
        return self.top[0].probability


def classifications(
    ensemble: Ensemble, images: Sequence[str], metadata: Mapping[str, str], top: int
) -> list[Classification]:
    """Return the most probable classes of each image.

    Args:
        ensemble: The outputs of N images. The first one that holds probabilities (N, K) counts.
        images: What to call them, N.
        metadata: Metadata of the file, which may name the classes.
        top: The largest number of classes for an image.

    Raises:
        UsageError: If no output holds probabilities (N, K), or `top` is below 1.
    """
    if type(top) is not int or top < 1:
        raise UsageError(f"expected top to be a positive number of classes, got {top!r}")
    output, probabilities = _probabilities(ensemble)
    names = class_names(metadata, probabilities.shape[1])
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        Classification(
            image=image,
            top=tuple(
                ClassProbability(names[k], k, float(probabilities[n, k])) for k in best[n].tolist()
            ),
            entropy=_number(output.entropy, n),
            mutual_information=_number(output.mutual_information, n),
            samples=int(ensemble.samples[n]),
        )
        for n, image in enumerate(images)
    ]


def class_names(metadata: Mapping[str, str], count: int) -> tuple[str, ...]:
    """Return the names of the classes; their numbers if the file names another number of them."""
    try:
        names = json.loads(metadata.get("classes", "[]"))
    except (ValueError, RecursionError):
        names = []
    if isinstance(names, list) and len(names) == count:
        return tuple(map(str, names))
    return tuple(map(str, range(count)))


def _probabilities(ensemble: Ensemble) -> tuple[OutputMean, Array]:
    """Return the first output that holds probabilities, (N, K), and these."""
    for output in ensemble.outputs:
        rows = output.mean
        if output.kind in (*OF_CLASSES, *OF_LABELS) and rows.ndim == 2 and rows.shape[1] > 1:
            return output, rows
        if output.kind in OF_LABELS and rows[0].size == 1:
            present = rows.reshape(-1)
            return output, np.stack([1 - present, present], axis=1)
    kinds = ", ".join(
        f"{o.kind} (N, {', '.join(map(str, o.mean.shape[1:]))})" for o in ensemble.outputs
    )
    raise UsageError(
        f"expected an output that holds class scores or probabilities (N, K), the file holds "
        f"{kinds}: use `run` or `predict`, on the command line -o OUT.npy"
    )


def _number(values: Array | None, n: int) -> float | None:
    """Return an image's number, or that of its only label; None for several labels."""
    return None if values is None or values[n].size != 1 else float(values[n].reshape(-1)[0])
