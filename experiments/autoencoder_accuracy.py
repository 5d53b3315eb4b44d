"""The accuracy of estimators at a point of a training: equations 60 to 66 for the encoder."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch
from autoencoder_network import Autoencoder, EncoderProducts
from bits_estimators import EstimatorConfig, losses_with_gradient
from experiment_config import Config, Record
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from bnnkit.gradients.accuracy import accuracy_of

_NUMBERS = 100_000_000
"""Scores of words that are computed at once."""


class AccuracyConfig(Config):
    """What is measured.

    Attributes:
        every: Epochs between two points.
        truth_samples: Pairs of ARM for the true gradient.
        trials: Estimates for each batch.
        batches: Of how many batches, in the order of the documents; None is all.
        level: Of the intervals; the paper's error bars are of 70 %.
    """

    every: int = Field(default=100, ge=1)
    truth_samples: int = Field(default=1000, ge=2)
    trials: int = Field(default=100, ge=2)
    batches: int | None = Field(default=None, ge=1)
    level: float = Field(default=0.7, gt=0, lt=1)


_ARM = EstimatorConfig(name="arm")


def measure(
    network: Autoencoder,
    number: int,
    counts: Tensor,
    batch_size: int,
    estimators: Mapping[str, EstimatorConfig],
    config: AccuracyConfig,
) -> dict[str, Record]:
    """Measure the estimators on one network of a stack.

    Args:
        network: The stack.
        number: The network's number.
        counts: The documents, (N, d).
        batch_size: Documents of a batch; the true gradient of an estimate is that of its batch.
        estimators: By label.
        config: What is measured.

    Returns:
        `bnnkit.gradients.Accuracy` as a record, for each label.
    """
    rows: dict[str, list[NDArray[np.float64]]] = {label: [] for label in estimators}
    norms, variances = [], []
    n_batches = min(len(counts) // batch_size, config.batches or len(counts))
    for first in range(0, n_batches * batch_size, batch_size):
        point = _Point(network, number, counts[first : first + batch_size])
        truth, variance = point.truth(config.truth_samples)
        norms.append(float(point.products(truth, truth).sqrt()))
        variances.append(variance)
        for label, estimator in estimators.items():
            rows[label].append(point.rows(estimator, truth, config.trials))
    return {
        label: asdict(
            accuracy_of(
                np.stack(found), variances=variances, norms=norms, level=config.level, seed=0
            )
        )
        for label, found in rows.items()
    }


class _Point:
    """Estimates of the gradient of one batch's mean loss, as gradients in the logits."""

    def __init__(self, network: Autoencoder, number: int, counts: Tensor) -> None:
        frequencies = counts / counts.sum(1, keepdim=True)
        self._size, chosen = counts.numel(), slice(number, number + 1)
        with torch.no_grad():
            self._loss = network.loss_of(counts, chosen)
            self._logits = network.encode(frequencies, chosen)
            self.products = EncoderProducts(network, number, frequencies)

    def estimates(self, estimator: EstimatorConfig, n: int) -> Tensor:
        """Gradients (n, N, bits) of the mean loss in the logits."""
        logits = self._logits.expand(n, -1, -1).contiguous().requires_grad_()
        losses = losses_with_gradient(estimator, logits, self._loss)
        (gradient,) = torch.autograd.grad(losses.mean(1).sum(), logits)
        return gradient

    def _chunks(self, n: int) -> list[int]:
        most = max(1, _NUMBERS // self._size)
        return [min(most, n - first) for first in range(0, n, most)]

    def truth(self, samples: int) -> tuple[Tensor, float]:
        """The mean (1, N, bits) of ARM, and the sum of the variances of the encoder's gradient."""
        total = torch.zeros_like(self._logits, dtype=torch.float64)
        squares = 0.0
        for n in self._chunks(samples):
            draws = self.estimates(_ARM, n)
            total += draws.double().sum(0, keepdim=True)
            squares += float(self.products(draws, draws).sum())
        mean = total / samples
        spread = squares / samples - float(self.products(mean, mean))
        return mean, max(spread, 0.0) / (samples - 1)

    def rows(self, estimator: EstimatorConfig, truth: Tensor, n: int) -> NDArray[np.float64]:
        """Cosine, <g, h>, |h|^2 and |g - h|^2 of n estimates, (n, 4)."""
        parts = [self._row(self.estimates(estimator, part), truth) for part in self._chunks(n)]
        return torch.cat(parts).cpu().numpy()

    def _row(self, draws: Tensor, truth: Tensor) -> Tensor:
        inner = self.products(truth.expand(len(draws), -1, -1), draws)
        square, difference = self.products(draws, draws), draws - truth
        length = (square * self.products(truth, truth)).sqrt()
        cosine = torch.where(length > 0, inner / length, 0)
        error = self.products(difference, difference)
        return torch.stack([cosine, inner, square, error], 1)
