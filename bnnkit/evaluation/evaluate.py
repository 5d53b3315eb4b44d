"""Evaluation of an ensemble on a test set: accuracy, calibration and latency."""

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
    """A network that can be evaluated: an engine, or a `TorchNetwork`."""

    def check(self, images: Array) -> None:
        """Raise UsageError if the network does not accept the images."""

    def ensemble(
        self, images: Array, config: EnsembleConfig, *, image_offset: int = 0
    ) -> Ensemble:
        """As `Engine.ensemble`."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics on a test set.

    Attributes:
        samples: The requested number of samples; 0 is the deterministic pass.
        mean_samples: The mean number of samples that an image used.
        accuracy: The fraction of images with the correct class.
        nll: The mean negative log likelihood, in nats.
        brier: The Brier score, from 0 to 2.
        ece: The expected calibration error, a fraction, with `metrics.N_BINS` bins.
        microseconds: The time for one image in microseconds, in batches of `BATCH`.
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
        images: (N, ...); the first one is image 0.
        labels: (N,), integers.
        config: Which samples to average.
        advance: Called with the number of images done since the last call.

    Returns:
        The metrics, and the class probabilities, (N, K).

    Raises:
        UsageError: If the network does not accept the images, has no samples, does not decide
            between classes, or has fewer classes than the labels.
    """
    network.check(images)
    network.ensemble(images[:BATCH], config)  # warm-up: don't time compilation
    start = time.perf_counter()
    parts = []
    for first in range(0, len(images), BATCH):
        batch = images[first : first + BATCH]
        parts.append(network.ensemble(batch, config, image_offset=first))
        advance(len(batch))
    seconds = time.perf_counter() - start
    found = Ensemble.joined(parts)
    p = found.class_probabilities
    return Evaluation(
        samples=config.samples,
        mean_samples=float(found.samples.mean()),
        accuracy=metrics.accuracy(p, labels),
        nll=metrics.nll(p, labels),
        brier=metrics.brier(p, labels),
        ece=metrics.ece(p, labels),
        microseconds=1e6 * seconds / len(images),
    ), p
