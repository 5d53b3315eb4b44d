"""Losses and accuracies on validation and test data, for a run's records."""

from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnnkit.nn.sign import has_noisy_signs
from bnnkit.training.evaluate import score
from bnnkit.training.history import Record
from bnnkit.training.launch import Fabric
from bnnkit.training.task import Task


class Scores:
    """Scores a network on one part of the data; each process takes its share of the examples.

    Args:
        network: The network on the process's device, in training or evaluation mode.
        part: Prefix of the records' keys: "validation" or "test".
        x: Inputs, (N, ...).
        y: Targets, as in `Dataset`.
        samples: Number of samples in the ensemble. Without noisy signs, or with 0, there is no
            ensemble.
        fabric: The launched Fabric.
        task: What the network learns; its metric is the "accuracy" or the "mae" below.
    """

    def __init__(
        self,
        network: nn.Module,
        part: str,
        x: NDArray[Any],
        y: NDArray[Any],
        samples: int,
        fabric: Fabric,
        task: Task,
    ) -> None:
        self.samples = samples if has_noisy_signs(network) else 0
        self._network, self._part, self._fabric, self._task = network, part, fabric, task
        # A share is contiguous, so that its images keep their numbers and therefore their noise.
        rank, processes, n = fabric.global_rank, fabric.world_size, len(x)
        self._first, end = n * rank // processes, n * (rank + 1) // processes
        self._x = torch.tensor(x[self._first : end], device=fabric.device)
        self._y = torch.tensor(y[self._first : end], device=fabric.device)
        self._is_empty = n == 0

    def deterministic(self) -> Record:
        """Score the deterministic network: PART_loss, and PART_accuracy as a fraction."""
        return self._score(0, "")

    def ensemble(self) -> Record:
        """Score the ensemble: PART_loss_samples, PART_accuracy_samples; empty without one.

        The seed is 0, the default of `evaluate` and of deployment.
        """
        return self._score(self.samples, "_samples") if self.samples else {}

    def both(self) -> Record:
        """Score the deterministic network and the ensemble."""
        return self.deterministic() | self.ensemble()

    def _score(self, samples: int, suffix: str) -> Record:
        if self._is_empty:
            return {}
        totals = score(
            self._network,
            self._x,
            self._y,
            samples=samples,
            first_image=self._first,
            task=self._task,
        )
        loss, metric = means(self._fabric, totals)
        name = f"{self._part}_{self._task.metric}{suffix}"
        return {f"{self._part}_loss{suffix}": loss, name: metric}


def means(fabric: Fabric, totals: Tensor) -> tuple[float, float]:
    """Return the loss, and the accuracy or error, over all processes, from the totals of each."""
    loss, metric, examples = cast(Tensor, fabric.all_reduce(totals, reduce_op="sum")).tolist()
    return loss / examples, metric / examples
