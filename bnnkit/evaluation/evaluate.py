"""Evaluation of an ensemble on a test set: accuracy, or error, and latency."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.ensemble_config import EnsembleConfig, Samples
from bnnkit.artifact.output_kinds import OF_LABELS
from bnnkit.errors import UsageError
from bnnkit.evaluation import label_metrics, metrics, value_metrics
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


class Examples(Protocol):
    """N labelled examples, which need not fit into memory."""

    def __len__(self) -> int:
        """Return N."""

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        """Yield inputs (B, ...) and targets in order, `size` at a time."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an evaluation used.

    Attributes:
        samples: The requested number of samples; 0 is the deterministic pass.
        mean_samples: The mean number of samples that an image used.
        microseconds: The time for one image in microseconds, in batches of `BATCH`.
    """

    samples: Samples
    mean_samples: float
    microseconds: float


@dataclass(frozen=True, kw_only=True)
class Evaluation(Cost):
    """Metrics of classes.

    Attributes:
        accuracy: The fraction of images with the correct class.
        nll: The mean negative log likelihood, in nats.
        brier: The Brier score, from 0 to 2.
        ece: The expected calibration error, a fraction, with `metrics.N_BINS` bins.
    """

    accuracy: float
    nll: float
    brier: float
    ece: float


@dataclass(frozen=True, kw_only=True)
class LabelEvaluation(Cost):
    """Metrics of labels, each on its own.

    Attributes:
        accuracy: The fraction of correct labels.
        exact_match: The fraction of images with all labels correct.
        mean_average_precision: As `label_metrics.mean_average_precision`.
        nll: The mean negative log likelihood of a label, in nats.
    """

    accuracy: float
    exact_match: float
    mean_average_precision: float
    nll: float


@dataclass(frozen=True, kw_only=True)
class ValueEvaluation(Cost):
    """Metrics of real values.

    Attributes:
        mae: The mean absolute error.
        rmse: The root of the mean squared error.
        r2: R^2, the share of the variance that is predicted.
    """

    mae: float
    rmse: float
    r2: float


def evaluate(
    network: Predictor,
    examples: Examples,
    config: EnsembleConfig,
    *,
    advance: Callable[[int], object] = lambda n_images: None,
) -> tuple[Evaluation, NDArray[np.float32], Array]:
    """Evaluate an ensemble on classes.

    Args:
        network: The network.
        examples: Inputs and labels, (N,), integers; the first is image 0.
        config: Which samples to average.
        advance: Called with the number of images done since the last call.

    Returns:
        The metrics, the class probabilities, (N, K), and the labels.

    Raises:
        UsageError: If the network does not accept the images, has no samples, does not decide
            between classes, or has fewer classes than the labels.
    """
    found, labels, cost = _ensemble(network, examples, config, advance)
    p = found.class_probabilities
    evaluation = Evaluation(
        **vars(cost),
        accuracy=metrics.accuracy(p, labels),
        nll=metrics.nll(p, labels),
        brier=metrics.brier(p, labels),
        ece=metrics.ece(p, labels),
    )
    return evaluation, p, labels


def evaluate_labels(
    network: Predictor,
    examples: Examples,
    config: EnsembleConfig,
    *,
    advance: Callable[[int], object] = lambda n_images: None,
) -> LabelEvaluation:
    """Evaluate an ensemble on labels, (N, K) of 0 and 1; other arguments as for `evaluate`.

    Raises:
        UsageError: As for `evaluate`; if the outputs are not probabilities of labels.
    """
    found, labels, cost = _ensemble(network, examples, config, advance)
    first = found.outputs[0]
    if first.kind not in OF_LABELS:
        raise UsageError(
            f"the data have labels of 0 and 1, the network's output holds {first.kind}; expected "
            f"{', '.join(OF_LABELS)}"
        )
    p = _of_shape(first.mean, labels, "labels")
    return LabelEvaluation(
        **vars(cost),
        accuracy=label_metrics.label_accuracy(p, labels),
        exact_match=label_metrics.exact_match(p, labels),
        mean_average_precision=label_metrics.mean_average_precision(p, labels),
        nll=label_metrics.label_nll(p, labels),
    )


def evaluate_values(
    network: Predictor,
    examples: Examples,
    config: EnsembleConfig,
    *,
    advance: Callable[[int], object] = lambda n_images: None,
) -> ValueEvaluation:
    """Evaluate an ensemble on real values, (N, K); other arguments as for `evaluate`.

    Raises:
        UsageError: As for `evaluate`; if the outputs are not real values.
    """
    found, values, cost = _ensemble(network, examples, config, advance)
    first = found.outputs[0]
    if first.kind != "values":
        raise UsageError(
            f"the data have real values, the network's output holds {first.kind}; expected values"
        )
    p = _of_shape(first.mean, values, "values")
    return ValueEvaluation(
        **vars(cost),
        mae=value_metrics.mae(p, values),
        rmse=value_metrics.rmse(p, values),
        r2=value_metrics.r2(p, values),
    )


def _of_shape(mean: Array, targets: Array, kind: Literal["labels", "values"]) -> Array:
    """Return the outputs as rows.

    Raises:
        UsageError: If a row has another number of them than the targets.
    """
    rows: Array = mean.reshape(len(mean), -1)
    if rows.shape != targets.shape:
        raise UsageError(
            f"the network has {rows.shape[1]} outputs, the data have {targets.shape[1]} {kind}"
        )
    return rows


def _ensemble(
    network: Predictor,
    examples: Examples,
    config: EnsembleConfig,
    advance: Callable[[int], object],
) -> tuple[Ensemble, Array, Cost]:
    """Return the outputs for all examples, their targets, and what it took."""
    parts: list[Ensemble] = []
    targets, seconds, done = [], 0.0, 0
    for inputs, of_batch in examples.batches(BATCH):
        if not parts:
            network.check(inputs)
            network.ensemble(inputs, config)  # warm-up: don't time compilation
        start = time.perf_counter()
        parts.append(network.ensemble(inputs, config, image_offset=done))
        seconds += time.perf_counter() - start
        targets.append(of_batch)
        done += len(inputs)
        advance(len(inputs))
    found = Ensemble.joined(parts)
    cost = Cost(
        samples=config.samples,
        mean_samples=float(found.samples.mean()),
        microseconds=1e6 * seconds / done,
    )
    return found, np.concatenate(targets), cost
