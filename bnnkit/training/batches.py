"""The batches of an epoch: the examples and their views at each step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bnnkit.data import Dataset
from bnnkit.training.augment import (
    UNCHANGED,
    Views,
    draw_augmented,
    draw_squares,
    random_views,
)
from bnnkit.training.auto_augment import Transform, augment_in_groups, make_policy
from bnnkit.training.config import Config
from bnnkit.training.mixup import draw_shares, mix
from bnnkit.training.randomness import epoch_batches


@dataclass(frozen=True)
class Batch:
    """The batch of one step in one process.

    Attributes:
        x: Inputs, (B, ...).
        y: Targets: classes, int64 (B,); labels, uint8 (B, K); or values, float32 (B, K).
        index: Indices of the examples in the training part of the data set, int64 (B,); of
            streamed data 0, 1, ...
        view: The view of each example, int64 (B,).
        share: The share of each example in its input, float32 (B,); the example before it, or the
            last for the first, has the rest. None if inputs are not mixed.
        unmixed: The inputs before they were mixed.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    view: Tensor
    share: Tensor | None = None
    unmixed: Tensor | None = None


class Batches:
    """All batches of a run, made on the device of the process.

    All random choices about the inputs of an epoch are drawn at its start, into tensors whose
    memory address is constant, so that a recorded step can be replayed.

    Args:
        config: The run's configuration.
        dataset: The data set; its whole training part is copied to the device.
        examples: Indices of the examples to train on, in the training part, int64 (M,).
        device: The device of this process.
        rank: The rank of this process; each takes its share of every batch.
        processes: The number of processes.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        examples: Tensor,
        device: torch.device,
        *,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._examples = examples
        self._prepare(config, len(examples), device, rank, processes)
        self.x = torch.tensor(dataset.x_train, device=device)
        self.y = torch.tensor(dataset.y_train, device=device)
        self.views = Views(self.x, dataset.zero_point) if self._is_augmented() else None
        self._policy = _policy(config, self.x, dataset.zero_point)
        # The views of this epoch's images; those of the unchanged images are for the calibration.
        self._seen = Views(self.x, dataset.zero_point) if self._policy else self.views

    def _prepare(
        self, config: Config, n_examples: int, device: torch.device, rank: int, processes: int
    ) -> None:
        """Make the tensors for what is drawn at the start of an epoch."""
        self._config = config
        self._device, self._rank, self._processes = device, rank, processes
        self.n_steps = n_examples // config.batch_size
        shape = (self.n_steps, config.batch_size // processes)
        self._index = torch.zeros(shape, dtype=torch.int64, device=device)
        self._view = torch.full_like(self._index, UNCHANGED)
        self._blank = torch.zeros((*shape, 3), dtype=torch.int64, device=device)
        self._share = torch.ones(shape, device=device)
        self.images_per_step = config.batch_size

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of the examples, and their views from torch's default generator.

        Every process draws the same for the whole batch, and takes its share.
        """
        self._index.copy_(self._mine(self.examples_of(epoch)))
        self._draw()

    def _draw(self) -> None:
        """Draw the views of the examples and how they are mixed."""
        shape = (self.n_steps, self._config.batch_size)
        if self._policy is not None and self._seen is not None:
            self._seen.replace(augment_in_groups(self.x, self._examples, self._policy))
        if self._config.augment != "none":
            drawn = draw_augmented(shape, self._config.augment, self._device)
            self._view.copy_(self._mine(drawn))
        if self._config.cutout and self.views is not None:
            side = self._config.cutout
            squares = draw_squares(shape, side, self.views, self._device)
            self._blank.copy_(self._mine(squares))
        if self._config.mixup:
            self._share.copy_(self._mine(draw_shares(shape, self._config.mixup, self._device)))

    def _mine(self, drawn: Tensor) -> Tensor:
        """Return this process's share of numbers for whole batches, (steps, batch, ...)."""
        return drawn[:, self._rank :: self._processes]

    def examples_of(self, epoch: int) -> Tensor:
        """Return the examples of each step for all processes together.

        Returns:
            Indices into the training part of the data set, int64 (steps, batch), on the CPU.
        """
        config = self._config
        order = epoch_batches(config.seed, epoch, len(self._examples), config.batch_size)
        return self._examples[order]

    def fetch(self) -> None:
        """Read the examples of the next step, if they are not in memory."""

    def at(self, step: Tensor) -> Batch:
        """Return the batch of a step, int64 (1,) on the device, without a synchronisation.

        `fetch` must have been called for the step; it is not part of a recorded step.
        """
        index = self._index.index_select(0, step).squeeze(0)
        view = self._view.index_select(0, step).squeeze(0)
        x = self._inputs(index, view, step)
        if not self._config.mixup:
            return Batch(x, self.y[index], index, view, unmixed=x)
        share = self._share.index_select(0, step).squeeze(0)
        return Batch(mix(x, share), self.y[index], index, view, share, x)

    def _inputs(self, index: Tensor, view: Tensor, step: Tensor) -> Tensor:
        if self._seen is None:
            return self.x[index]
        blank = None
        if self._config.cutout:
            blank = self._blank.index_select(0, step).squeeze(0)
        return self._seen(index, view, blank)

    def calibration_batches(self, epoch: int, most: int) -> Iterator[Tensor]:
        """Yield inputs for the estimation of batch-norm statistics, the same in every process.

        Args:
            epoch: The epoch whose batches are taken.
            most: The number of batches, or all of the epoch if they are fewer.
        """
        for index in self.examples_of(epoch)[:most].to(self._device):
            yield self.calibration_inputs(index)

    def calibration_inputs(self, index: Tensor) -> Tensor:
        """Return the inputs of examples for the estimation of batch-norm statistics.

        Images are augmented as in training, but not mixed, without blanked squares and without a
        policy of torchvision.

        Statistics of unchanged training images are those of images that the network has
        memorised, and cost up to three points of test accuracy.

        Args:
            index: Indices into the training part of the data set, int64 (B,), on the device.
        """
        if self.views is None:
            return self.x[index]
        return random_views(self.views, index, self._config.augment)

    def _is_augmented(self) -> bool:
        config = self._config
        return config.augment != "none" or config.cutout > 0 or config.auto_augment is not None


def _policy(config: Config, images: Tensor, zero_point: Sequence[int] | None) -> Transform | None:
    if config.auto_augment is None:
        return None
    return make_policy(config.auto_augment, config.auto_augment_options, images, zero_point)
