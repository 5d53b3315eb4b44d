"""An ensemble on a test set: how right and how sure it is, and what it costs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.ensemble_config import EnsembleConfig, Samples
from bnnkit.evaluation import metrics
from bnnkit.runtime.ensemble import Ensemble

Array = NDArray[Any]
BATCH = 256


class Predictor(Protocol):
    """What can be evaluated: an engine, or a torch network."""

    def check(self, images: Array) -> None:
        """Refuse what it does not take."""

    def ensemble(
        self, images: Array, config: EnsembleConfig, *, image_offset: int = 0
    ) -> Ensemble:
        """As `Engine.ensemble`."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What came of a test set.

    Attributes:
        samples: That were asked for; 0 is the deterministic pass.
        mean_samples: That an image used.
        accuracy: A fraction.
        nll: Nats.
        brier: From 0 to 2.
        ece: A fraction, in `metrics.N_BINS` bins.
        microseconds: That an image took, in batches of `BATCH`.
    """

    samples: Samples
    mean_samples: float
    accuracy: float
    nll: float
    brier: float
    ece: float
    microseconds: float


def evaluate(
    network: Predictor,
    images: Array,
    labels: Array,
    config: EnsembleConfig,
    *,
    advance: Callable[[int], object] = lambda n_images: None,
) -> tuple[Evaluation, NDArray[np.float32]]:
    """Evaluate an ensemble.

    Args:
        network: The network.
        images: (N, ...), the first of which is image 0.
        labels: (N,).
        config: Which samples to average.
        advance: Called with the number of images done since the last call.

    Returns:
        What came of it, and the probabilities, (N, K).

    Raises:
        UsageError: The network does not take the images, has not the samples, or gives no
            probabilities of the labels' classes.
    """
    network.check(images)
    network.ensemble(images[:BATCH], config)  # what is done once is not of an image
    start = time.perf_counter()
    parts = []
    for first in range(0, len(images), BATCH):
        batch = images[first : first + BATCH]
        parts.append(network.ensemble(batch, config, image_offset=first))
        advance(len(batch))
    seconds = time.perf_counter() - start
    found = Ensemble.joined(parts)
    p = found.probabilities
    return Evaluation(
        samples=config.samples,
        mean_samples=float(found.samples.mean()),
        accuracy=metrics.accuracy(p, labels),
        nll=metrics.nll(p, labels),
        brier=metrics.brier(p, labels),
        ece=metrics.ece(p, labels),
        microseconds=1e6 * seconds / len(images),
    ), p
