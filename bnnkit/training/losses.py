"""Loss functions: those of the targets, and divergence from teachers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from bnnkit.data import AnyDataset, Dataset, StreamedDataset
from bnnkit.errors import ConfigError
from bnnkit.training.batches import Batch
from bnnkit.training.config import Config, DistillationConfig
from bnnkit.training.task import Classification, MultiLabel, Task
from bnnkit.training.view_logits import load_teacher, view_logits

Loss = Callable[[Tensor, Batch], Tensor]
"""The mean loss of a batch, of probabilities in nats, from outputs (B, K); float32 ()."""


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


class TargetLoss:
    """The loss of labels or real values.

    Args:
        task: The task, whose loss it is.
        label_smoothing: s; a label y becomes (1 - s) y + s / 2.
    """

    def __init__(self, task: Task, label_smoothing: float = 0.0) -> None:
        self.task, self.label_smoothing = task, label_smoothing

    def __call__(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch; the targets of mixed inputs are mixed.

        Raises:
            ConfigError: The outputs have another shape than the targets.
        """
        y = batch.y.to(torch.float32)
        if outputs.shape != y.shape:
            raise ConfigError(
                f"the network's outputs have the shape {tuple(outputs.shape)}, the targets "
                f"{tuple(y.shape)}: it must return (N, K), a column for each target"
            )
        if batch.share is not None:
            own = batch.share[:, None]
            y = own * y + (1 - own) * y.roll(1, 0)
        if self.label_smoothing:
            y = (1 - self.label_smoothing) * y + self.label_smoothing / 2
        return self.task.loss(outputs.float(), y)


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
        teachers = self.targets[view, batch.index].float() / t
        divergence = self._divergence(teachers, logits.float() / t, batch.share)
        loss = self.weight * t**2 * divergence
        if self.weight < 1:
            loss = loss + (1 - self.weight) * self.labels(logits, batch)
        return loss

    def _divergence(self, teachers: Tensor, network: Tensor, share: Tensor | None) -> Tensor:
        """Return the mean divergence of logits / T, (B, K), of inputs mixed by `share`, (B,)."""
        teachers = functional.log_softmax(teachers, dim=1)
        if share is not None:
            own = share[:, None]
            teachers = torch.logaddexp(own.log() + teachers, (-own).log1p() + teachers.roll(1, 0))
        network = functional.log_softmax(network, dim=1)
        return functional.kl_div(network, teachers, reduction="batchmean", log_target=True)


class LabelDistillation(Distillation):
    """As `Distillation`, with the mean divergence of each label, sigmoid(logits / T), alone."""

    def _divergence(self, teachers: Tensor, network: Tensor, share: Tensor | None) -> Tensor:
        teachers = teachers.sigmoid()
        if share is not None:
            own = share[:, None]
            teachers = own * teachers + (1 - own) * teachers.roll(1, 0)
        cross = functional.binary_cross_entropy_with_logits(network, teachers)
        # Without the teachers' entropy, which has no gradient, the loss of a student that equals
        # its teachers would not be 0.
        entropy: Tensor = torch.special.entr(teachers) + torch.special.entr(1 - teachers)
        return cross - entropy.mean()


class StreamedTeachers:
    """Distillation of data that are not in memory: the teachers compute in each step.

    They get the inputs of the network before these are mixed.

    Args:
        teachers: Networks in evaluation mode, on the device, without noise.
        distil: Makes the loss from the teachers' mean logits, (1, B, K).
    """

    def __init__(self, teachers: Sequence[nn.Module], distil: Callable[[Tensor], Loss]) -> None:
        self._teachers, self._distil = teachers, distil

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch."""
        assert batch.unmixed is not None  # of `Batches`
        with torch.no_grad():
            of_teachers = [teacher(batch.unmixed).float() for teacher in self._teachers]
            mean = torch.stack(of_teachers).mean(0)
        return self._distil(mean[None])(logits, batch)


def make_loss(
    config: Config, dataset: AnyDataset, device: torch.device, task: Task | None = None
) -> Loss:
    """Make the loss function of a run; the task is classification by default.

    Raises:
        CheckpointError, ConfigError, FileError: As for `view_logits`; also if the teachers need
            augmented views, but the data are not images.
    """
    labels = _of_targets(task or Classification(), config.label_smoothing)
    about = config.distillation
    if about is None:
        return labels
    if len(set(about.teachers)) < len(about.teachers):
        raise ConfigError(f"distillation: a teacher is named twice in {about.teachers}")
    kind = LabelDistillation if isinstance(task, MultiLabel) else Distillation

    def distil(targets: Tensor) -> Loss:
        return kind(targets, about.temperature, about.weight, labels)

    if isinstance(dataset, StreamedDataset):
        teachers = [load_teacher(Path(path), dataset).to(device) for path in about.teachers]
        return StreamedTeachers(teachers, distil)
    return distil(_mean_logits(about, dataset, config.augment != "none", device))


def _of_targets(task: Task, label_smoothing: float) -> Loss:
    if isinstance(task, Classification):
        return CrossEntropy(label_smoothing)
    return TargetLoss(task, label_smoothing)


def _mean_logits(
    config: DistillationConfig, dataset: Dataset, augmented: bool, device: torch.device
) -> Tensor:
    mean: Tensor | None = None
    for teacher in config.teachers:
        logits = view_logits(Path(teacher), dataset, augmented=augmented, device=device)
        share = logits.to(device).float() / len(config.teachers)
        mean = share if mean is None else mean.add_(share)
    assert mean is not None  # the configuration has at least one
    return mean.half()
