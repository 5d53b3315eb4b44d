"""The batches of an epoch of data that are read while they are used."""

from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnkit.data import StreamedDataset
from bnnkit.data.streamed import StreamedExamples
from bnnkit.training.augment import Views, random_views
from bnnkit.training.batches import Batches
from bnnkit.training.config import Config

_Pairs = Iterator[tuple[NDArray[Any], NDArray[Any]]]


class StreamedBatches(Batches):
    """All batches of a run; the examples of one step at a time are on the device.

    Of a map-style data set the order of the examples, and all that is drawn about them, is that of
    `Batches`, so a run gives the same numbers as one whose data are in memory. An iterable one is
    read in its order, with each example drawn out of a buffer.

    Args:
        config: The run's configuration.
        dataset: The data set.
        examples: Those to train on.
        device: The device of this process.
        rank: The rank of this process; each takes its share of every batch.
        processes: The number of processes. Each of them reads a whole stream.
    """

    def __init__(
        self,
        config: Config,
        dataset: StreamedDataset,
        examples: StreamedExamples,
        device: torch.device,
        *,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._prepare(config, len(examples), device, rank, processes)
        self._streamed = examples
        self._examples = torch.arange(0 if examples.is_stream else len(examples))
        size = config.batch_size // processes
        dtype = torch.uint8 if dataset.input_dtype == "uint8" else torch.float32
        self.x = torch.zeros((size, *dataset.input_shape), dtype=dtype, device=device)
        self.y = _targets(dataset, size, device)
        self._zero_point = dataset.zero_point if self._is_augmented() else None
        self.views = Views(self.x, self._zero_point) if self._is_augmented() else None
        self._policy, self._seen = None, self.views
        self._reader: _Pairs = iter(())

    def start_epoch(self, epoch: int) -> None:
        """Draw the views of the examples, and begin to read them."""
        # The examples of a step lie in the order of its batch.
        self._index.copy_(torch.arange(self._index.shape[1]).expand_as(self._index))
        self._draw()
        self._reader = self._read(epoch)

    def fetch(self) -> None:
        """Read the examples of the next step into the device's memory."""
        x, y = next(self._reader)
        inputs = torch.from_numpy(x).to(self._device)
        if self.views is None:
            self.x.copy_(inputs)
        else:
            self.views.replace(inputs)
        self.y.copy_(torch.from_numpy(y))

    def calibration_batches(self, epoch: int, most: int) -> Iterator[Tensor]:
        """Yield inputs for the estimation of batch-norm statistics, as `Batches`."""
        for x, _ in self._whole_batches(epoch, most):
            inputs = torch.from_numpy(x).to(self._device)
            if self._config.augment == "none":
                yield inputs
                continue
            index = torch.arange(len(inputs), device=self._device)
            yield random_views(Views(inputs, self._zero_point), index, self._config.augment)

    def _read(self, epoch: int) -> _Pairs:
        """Yield this process's share of every batch."""
        mine = slice(self._rank, None, self._processes)
        if self._streamed.is_stream:
            for x, y in self._whole_batches(epoch, self.n_steps):
                yield x[mine], y[mine]
        else:
            batches = list(self.examples_of(epoch)[:, mine].numpy())
            yield from self._streamed.chosen_by(batches, seed=self._config.seed, epoch=epoch)

    def _whole_batches(self, epoch: int, most: int) -> _Pairs:
        seed = self._config.seed
        if not self._streamed.is_stream:
            batches = list(self.examples_of(epoch)[:most].numpy())
            return self._streamed.chosen_by(batches, seed=seed, epoch=epoch)
        return self._streamed.in_order(
            self._config.batch_size,
            seed=seed,
            epoch=epoch,
            buffer=self._config.data.shuffle_buffer,
            most=most,
        )


def _targets(dataset: StreamedDataset, size: int, device: torch.device) -> Tensor:
    if dataset.targets == "classes":
        return torch.zeros(size, dtype=torch.int64, device=device)
    dtype = torch.uint8 if dataset.targets == "labels" else torch.float32
    return torch.zeros((size, len(dataset.classes)), dtype=dtype, device=device)
