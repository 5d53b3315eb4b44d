"""The means and scales of a network that standardises its inputs or targets, from the data."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnnkit.data import AnyDataset, Dataset
from bnnkit.models import Standardized

_BATCH = 1000


def fill_in(network: nn.Module, dataset: AnyDataset) -> None:
    """Set the means and scales of a `Standardized` network in place; others are left alone.

    They are those of the training examples, of data that are not in memory of as many as for the
    zero point. What is constant gets the scale 1.
    """
    if not isinstance(network, Standardized):
        return
    pairs = ((network.mean, network.scale), (network.output_mean, network.output_scale))
    moments = [
        None if mean is None or scale is None else _Moments(mean, scale) for mean, scale in pairs
    ]
    for batch in _batches(dataset):
        for moment, part in zip(moments, batch, strict=True):
            if moment is not None:
                moment.add(part)
    for moment in moments:
        if moment is not None:
            moment.write()


def _batches(dataset: AnyDataset) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    if isinstance(dataset, Dataset):
        return dataset.train.batches(_BATCH)
    return dataset.for_statistics()


class _Moments:
    """Means and standard deviations over the examples, and over the axes that a tensor lacks.

    Args:
        mean: Where the mean is written, (C, 1, ...) or (F,).
        scale: Where the standard deviation is written.
    """

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        self._mean, self._scale = mean, scale
        self._axes = (0, *range(2, mean.ndim + 1))
        self._n = 0
        self._center: NDArray[np.float64] | None = None
        self._sums = self._squares = np.zeros(mean.shape)

    def add(self, values: NDArray[Any]) -> None:
        """Add a batch, (B, ...)."""
        exact = values.astype(np.float64)
        if self._center is None:
            # Squares of distances from a mean lose fewer digits than squares of the values.
            self._center = exact.mean(axis=self._axes).reshape(self._mean.shape)
        distance = exact - self._center
        self._sums = self._sums + distance.sum(axis=self._axes).reshape(self._mean.shape)
        self._squares = self._squares + np.square(distance).sum(axis=self._axes).reshape(
            self._mean.shape
        )
        self._n += exact.size // self._mean.numel()

    def write(self) -> None:
        """Write the mean and the standard deviation."""
        assert self._center is not None  # a data set has an example
        shift = self._sums / self._n
        variance = np.maximum(self._squares / self._n - np.square(shift), 0)
        scale = np.sqrt(variance)
        scale[scale == 0] = 1
        with torch.no_grad():
            self._mean.copy_(torch.from_numpy(self._center + shift))
            self._scale.copy_(torch.from_numpy(scale))
