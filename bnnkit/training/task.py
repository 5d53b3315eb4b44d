"""What a network learns: which targets, what its outputs hold, how samples of them are averaged.

A training run scores the network on held-out data with the loss of its task and one more number:
the accuracy, of classes or of labels, or the mean absolute error of real values.
"""

from collections.abc import Callable, Sequence
from math import isnan, log
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from bnnkit.artifact.output_kinds import OutputKind
from bnnkit.data.targets import TargetKind
from bnnkit.errors import ConfigError
from bnnkit.training.config_values import LossName

Metric = Literal["accuracy", "mae"]
"""The accuracy, a fraction, or the mean absolute error."""


class Task(Protocol):
    """A kind of targets with its loss. B is a batch, K a number of outputs, S of samples.

    Attributes:
        targets: The targets that it takes.
        outputs: What the network's outputs hold, (B, K): the scores of classes, the log-odds of
            labels, or real values.
        metric: The number beside the loss; a higher accuracy and a lower error is better.
    """

    targets: ClassVar[TargetKind]
    outputs: ClassVar[OutputKind]
    metric: ClassVar[Metric]

    def average(self, passes: Tensor) -> Tensor:
        """Average the outputs of samples, (S, B, K), into outputs of the ensemble, (B, K)."""

    def predictions(self, averaged: Tensor) -> Tensor:
        """Return what the averaged outputs say: probabilities, or values; (B, K)."""

    def loss(self, averaged: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of averaged outputs, ()."""


class Classification:
    """One of K classes: cross-entropy in nats; scores whose softmax is averaged."""

    targets: ClassVar[TargetKind] = "classes"
    outputs: ClassVar[OutputKind] = "scores"
    metric: ClassVar[Metric] = "accuracy"

    def average(self, passes: Tensor) -> Tensor:
        """Return the logarithms of the mean probabilities."""
        return passes.log_softmax(2).logsumexp(0) - log(len(passes))

    def predictions(self, averaged: Tensor) -> Tensor:
        """Return the probabilities of the classes."""
        return averaged.exp()

    def loss(self, averaged: Tensor, y: Tensor) -> Tensor:
        """Return the negative log likelihood of the classes y, int64 (B,)."""
        return functional.nll_loss(averaged, y)


class MultiLabel:
    """K labels, each on its own: mean binary cross-entropy; log-odds whose sigmoid is averaged."""

    targets: ClassVar[TargetKind] = "labels"
    outputs: ClassVar[OutputKind] = "log-odds"
    metric: ClassVar[Metric] = "accuracy"

    def average(self, passes: Tensor) -> Tensor:
        """Return the log-odds of the mean probabilities."""
        if len(passes) == 1:
            return passes[0]
        present, absent = (functional.logsigmoid(sign * passes).logsumexp(0) for sign in (1, -1))
        return present - absent

    def predictions(self, averaged: Tensor) -> Tensor:
        """Return the probabilities of the labels."""
        return averaged.sigmoid()

    def loss(self, averaged: Tensor, y: Tensor) -> Tensor:
        """Return the mean negative log likelihood of each label in nats; y is real, (B, K)."""
        return functional.binary_cross_entropy_with_logits(averaged, y.to(averaged.dtype))


class Regression:
    """K real values, which are averaged themselves.

    Args:
        loss: "mse", the mean squared error; "l1", the mean absolute error; or "huber", which is
            half the squared error up to an error of 1, and linear beyond.
        scale: The unit of each value in the loss, (K,); None is 1.

    References:
        P. Huber, Robust Estimation of a Location Parameter, 1964 ("huber").
    """

    targets: ClassVar[TargetKind] = "values"
    outputs: ClassVar[OutputKind] = "values"
    metric: ClassVar[Metric] = "mae"

    def __init__(self, loss: str, scale: Tensor | None = None) -> None:
        self._loss, self._scale = _ERRORS[loss], scale

    def average(self, passes: Tensor) -> Tensor:
        """Return the mean values."""
        return passes.mean(0)

    def predictions(self, averaged: Tensor) -> Tensor:
        """Return the values."""
        return averaged

    def loss(self, averaged: Tensor, y: Tensor) -> Tensor:
        """Return the mean error of the values y, real (B, K)."""
        y = y.to(averaged.dtype)
        if self._scale is None:
            return self._loss(averaged, y)
        scale = self._scale.to(averaged.device, averaged.dtype)
        return self._loss(averaged / scale, y / scale)


_ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "huber": functional.huber_loss,
}
_LOSS_OF: dict[TargetKind, str] = {
    "classes": "cross-entropy",
    "labels": "multi-label",
    "values": "mse, l1 or huber",
}
_WORDS: dict[TargetKind, str] = {
    "classes": "class indices, integers (N,)",
    "labels": "labels of 0 and 1, integers (N, K)",
    "values": "real values, (N,) or (N, K)",
}


def task_of(loss: LossName, scale: Tensor | None = None) -> Task:
    """Return the task of a loss; `scale` is that of `Regression`."""
    if loss == "cross-entropy":
        return Classification()
    return MultiLabel() if loss == "multi-label" else Regression(loss, scale)


def check_loss(loss: LossName, targets: TargetKind, dataset: str) -> None:
    """Check that a data set has the targets of a loss.

    Raises:
        ConfigError: If it has others.
    """
    wanted = task_of(loss).targets
    if targets != wanted:
        raise ConfigError(
            f"loss {loss} expects {_WORDS[wanted]}; the targets of {dataset} are "
            f"{_WORDS[targets]}: use loss={_LOSS_OF[targets]}"
        )


def is_better(metric: Metric, value: float, others: Sequence[float]) -> bool:
    """Return whether an accuracy is above, or an error below, all others, one or more.

    Any number is better than an error that is NaN.
    """
    if metric == "accuracy":
        return value > max(others)
    return all(value < other or isnan(other) for other in others) and not isnan(value)


def batch_totals(loss: Tensor, outputs: Tensor, y: Tensor) -> Tensor:
    """Sum up a batch.

    Args:
        loss: Its mean loss, ().
        outputs: (B, K).
        y: Targets: classes, int64 (B,); labels, uint8 (B, K); or values, float (B, K).

    Returns:
        The summed loss; the number of correct classes, the correct labels as a fraction of K, or
        the mean absolute errors, summed over the batch; and the number of examples; float64 (3,).
    """
    if y.dtype == torch.int64:
        metric = (outputs.argmax(1) == y).sum()
    elif y.dtype == torch.uint8:
        metric = ((outputs >= 0) == y.bool()).double().mean(1).sum()
    else:
        metric = (outputs.detach() - y).abs().double().mean(1).sum()
    examples = torch.full_like(metric, len(y))
    return torch.stack([loss.detach().double() * len(y), metric.double(), examples.double()])
