"""Losses and accuracies on the test data, noted in a run's records."""

from typing import cast

import torch
from torch import Tensor, nn

from bnnkit.data import Dataset
from bnnkit.nn.sign import has_noisy_signs
from bnnkit.training.evaluate import score
from bnnkit.training.history import Record
from bnnkit.training.launch import Fabric


class Scores:
    """Scores a network on the test data; each process takes its share of them.

    Args:
        network: In any mode, on the process's device.
        dataset: Its test data go to that device.
        samples: In the ensemble; 0, and a network without noisy signs, have none.
        fabric: Launched.
    """

    def __init__(self, network: nn.Module, dataset: Dataset, samples: int, fabric: Fabric) -> None:
        self.samples = samples if has_noisy_signs(network) else 0
        self._network, self._fabric = network, fabric
        # A share is contiguous, so that its images keep their numbers and with them their noise.
        rank, processes, n = fabric.global_rank, fabric.world_size, len(dataset.x_test)
        self._first, end = n * rank // processes, n * (rank + 1) // processes
        self._x = torch.tensor(dataset.x_test[self._first : end], device=fabric.device)
        self._y = torch.tensor(dataset.y_test[self._first : end], device=fabric.device)

    def deterministic(self) -> Record:
        """test_loss, in nats, and test_accuracy, a fraction, of the deterministic network."""
        return self._score(0, "")

    def ensemble(self) -> Record:
        """test_loss_samples and test_accuracy_samples; empty without an ensemble.

        The samples are those of seed 0, as in `evaluate` and in deployment by default.
        """
        return self._score(self.samples, "_samples") if self.samples else {}

    def _score(self, samples: int, suffix: str) -> Record:
        totals = score(self._network, self._x, self._y, samples=samples, first_image=self._first)
        loss, accuracy = means(self._fabric, totals)
        return {f"test_loss{suffix}": loss, f"test_accuracy{suffix}": accuracy}


def means(fabric: Fabric, totals: Tensor) -> tuple[float, float]:
    """Loss and accuracy of all processes together, from the totals of each."""
    loss, right, examples = cast(Tensor, fabric.all_reduce(totals, reduce_op="sum")).tolist()
    return loss / examples, right / examples
