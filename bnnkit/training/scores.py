"""Losses and accuracies on validation and test data, for a run's records."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnnkit.data.examples import ArrayExamples
from bnnkit.data.streamed import AnyExamples
from bnnkit.nn.sign import has_noisy_signs
from bnnkit.training.evaluation import EVALUATION_BATCH, score_batches
from bnnkit.training.history import Record
from bnnkit.training.launch import Fabric
from bnnkit.training.task import Task


class Scores:
    """Scores a network on one part of the data; each process takes its share of the batches.

    The batches are those of a single process, and their sums are added in their order, so that
    the scores are the same, bit for bit, for any number of processes.

    Args:
        network: The network on the process's device, in training or evaluation mode.
        part: Prefix of the records' keys: "validation" or "test".
        examples: That part; examples in memory are copied to the device.
        samples: Number of samples in the ensemble. Without noisy signs, or with 0, there is no
            ensemble.
        fabric: The launched Fabric.
        task: What the network learns; its metric is the "accuracy" or the "mae" below.
    """

    def __init__(
        self,
        network: nn.Module,
        part: str,
        examples: AnyExamples,
        samples: int,
        fabric: Fabric,
        task: Task,
    ) -> None:
        self._samples = samples
        self._network, self._part, self._fabric, self._task = network, part, fabric, task
        rank, processes = fabric.global_rank, fabric.world_size
        self._size = examples.at_once(EVALUATION_BATCH)
        self._n_batches = -(-len(examples) // self._size)
        self._first = self._n_batches * rank // processes
        self._end = self._n_batches * (rank + 1) // processes
        self._examples = examples
        self._held: list[tuple[Tensor, Tensor]] | None = None
        if isinstance(examples, ArrayExamples):
            self._held = list(self._batches())

    @property
    def samples(self) -> int:
        """The number of samples in the ensemble; 0 while the network has no noisy signs."""
        return self._samples if has_noisy_signs(self._network) else 0

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
        if self._n_batches == 0:
            return {}
        loss, metric, examples = self._of_all_batches(samples).cumsum(0)[-1].tolist()
        return {
            f"{self._part}_loss{suffix}": loss / examples,
            f"{self._part}_{self._task.metric}{suffix}": metric / examples,
        }

    def _of_all_batches(self, samples: int) -> NDArray[np.float64]:
        """Return the sums of every batch, (batches, 3); each process computes its own."""
        totals = torch.zeros((self._n_batches, 3), dtype=torch.float64, device=self._fabric.device)
        batches = self._batches() if self._held is None else self._held
        for number, (x, y) in enumerate(batches, start=self._first):
            totals[number] = score_batches(
                self._network,
                x,
                y,
                samples=samples,
                first_image=number * self._size,
                task=self._task,
            )[0]
        everything: NDArray[np.float64] = _summed(self._fabric, totals).cpu().numpy()
        return everything

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's share of the examples, on its device."""
        share = (self._first * self._size, self._end * self._size)
        for x, y in self._examples.batches(self._size, *share):
            inputs, targets = (torch.tensor(part, device=self._fabric.device) for part in (x, y))
            yield inputs, targets


def means(fabric: Fabric, totals: Tensor) -> tuple[float, float]:
    """Return the loss, and the accuracy or error, over all processes, from the totals of each."""
    loss, metric, examples = _summed(fabric, totals).tolist()
    return loss / examples, metric / examples


def _summed(fabric: Fabric, totals: Tensor) -> Tensor:
    """Return the sum over all processes; in place."""
    return cast(Tensor, fabric.all_reduce(totals, reduce_op="sum"))
