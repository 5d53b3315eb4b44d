"""Loss functions: cross-entropy with the labels, and divergence from teachers."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from bnnkit.data import Dataset
from bnnkit.errors import ConfigError
from bnnkit.training.batches import Batch
from bnnkit.training.config import Config, DistillationConfig
from bnnkit.training.view_logits import view_logits

Loss = Callable[[Tensor, Batch], Tensor]
"""The mean loss of a batch in nats, from logits (B, K); float32 ()."""


class CrossEntropy:
    """Cross-entropy with the labels.

    Args:
        label_smoothing: Share of the target that is spread over all classes.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch."""
        if batch.share is None:
            return functional.cross_entropy(logits, batch.y, label_smoothing=self.label_smoothing)
        own, other = (
            functional.cross_entropy(
                logits, y, label_smoothing=self.label_smoothing, reduction="none"
            )
            for y in (batch.y, batch.y.roll(1))
        )
        return (batch.share * own + (1 - batch.share) * other).mean()


class Distillation:
    """The loss weight * T^2 * KL(teachers || network) + (1 - weight) * (the loss of the labels).

    Both distributions are softened: softmax(logits / T). The teachers' distribution for a mixed
    input is the mixture of those for its two parts. The factor T^2 keeps the gradient's size
    independent of T.

    Args:
        targets: The teachers' mean logits, (V, N, K), on the device; V is 162 or 1.
        temperature: T.
        weight: Share of the teachers.
        labels: The loss of the labels.

    References:
        Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, 2015,
        https://arxiv.org/abs/1503.02531.
    """

    def __init__(self, targets: Tensor, temperature: float, weight: float, labels: Loss) -> None:
        self.targets, self.temperature, self.weight = targets, temperature, weight
        self.labels = labels

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch."""
        t = self.temperature
        view = batch.view if len(self.targets) > 1 else torch.zeros_like(batch.view)
        teachers = functional.log_softmax(self.targets[view, batch.index].float() / t, dim=1)
        if batch.share is not None:
            own = batch.share[:, None]
            teachers = torch.logaddexp(own.log() + teachers, (-own).log1p() + teachers.roll(1, 0))
        network = functional.log_softmax(logits.float() / t, dim=1)
        divergence = functional.kl_div(network, teachers, reduction="batchmean", log_target=True)
        loss = self.weight * t**2 * divergence
        if self.weight < 1:
            loss = loss + (1 - self.weight) * self.labels(logits, batch)
        return loss


def make_loss(config: Config, dataset: Dataset, device: torch.device) -> Loss:
    """Make the loss function of a run.

    Raises:
        CheckpointError, ConfigError, FileError: As for `view_logits`; also if the teachers need
            augmented views, but the data are not images.
    """
    labels = CrossEntropy(config.label_smoothing)
    if config.distillation is None:
        return labels
    targets = _mean_logits(config.distillation, dataset, config.augment != "none", device)
    return Distillation(
        targets, config.distillation.temperature, config.distillation.weight, labels
    )


def _mean_logits(
    config: DistillationConfig, dataset: Dataset, augmented: bool, device: torch.device
) -> Tensor:
    if len(set(config.teachers)) < len(config.teachers):
        raise ConfigError(f"distillation: a teacher is named twice in {config.teachers}")
    mean: Tensor | None = None
    for teacher in config.teachers:
        logits = view_logits(Path(teacher), dataset, augmented=augmented, device=device)
        share = logits.to(device).float() / len(config.teachers)
        mean = share if mean is None else mean.add_(share)
    assert mean is not None  # the configuration has at least one
    return mean.half()
