"""Batch norms estimated anew for the network as it is deployed, and what that has changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnnkit.data import Dataset
from bnnkit.export.stochastic import Mode
from bnnkit.export.to_onnx import to_artifact
from bnnkit.runtime import Model
from bnnkit.training import recalibrate

IMAGES: Final = 10_000
"""Of a data set's parts for training and for testing: what is taken at most."""
SAMPLES: Final = 10
"""Of the ensemble whose accuracy is told."""
_BATCH: Final = 500


@dataclass(frozen=True)
class NormChange:
    """What calibration has done to a batch norm.

    Attributes:
        name: The path of the module.
        mean_shift: How far its means moved, in standard deviations as they were: the root mean
            square over the channels.
        variance_ratio: New variance over old one, the median over the channels.
    """

    name: str
    mean_shift: float
    variance_ratio: float


@dataclass(frozen=True)
class Accuracy:
    """Of a file, on a part for testing; fractions.

    Attributes:
        deterministic: Of the pass without noise.
        samples: Of the ensemble of `SAMPLES` samples; None for a deterministic file.
    """

    deterministic: float
    samples: float | None


@dataclass(frozen=True)
class Calibration:
    """What calibration has changed; `dataclasses.asdict` makes it JSON.

    Attributes:
        data: The name of the data set.
        mode: Of deployment: whether the noise was drawn.
        images: How many training images the statistics are of.
        norms: In the order of the network.
        test_images: How many test images the accuracies are of.
        before: Of the file without calibration.
        after: Of the file with it.
    """

    data: str
    mode: Mode
    images: int
    norms: tuple[NormChange, ...]
    test_images: int
    before: Accuracy
    after: Accuracy


def calibrate(network: nn.Module, data: Dataset, mode: Mode, *, seed: int = 0) -> Calibration:
    """Estimate every batch norm anew, in place, in the mode of deployment.

    In training they are gathered under sampled weights, whose sums vary more than those of the
    likelier weights, which are deployed.

    Args:
        network: On the CPU; takes the inputs of the data.
        data: Its training part gives the statistics, its test part the accuracies.
        mode: "samples": with the noise of the signs; "deterministic": without.
        seed: Of the noise and of the choice of images.
    """
    inputs = _some(data.x_train, seed)
    before = _accuracy(network, data, mode, seed)
    old = _statistics(network)
    recalibrate(network, _batches(inputs), mode, seed=seed)
    changes = tuple(_change(name, *old[name], *new) for name, new in _statistics(network).items())
    after = _accuracy(network, data, mode, seed)
    test_images = min(len(data.x_test), IMAGES)
    return Calibration(data.name, mode, len(inputs), changes, test_images, before, after)


def _some(x: NDArray[Any], seed: int) -> NDArray[Any]:
    """At most `IMAGES` of the examples, chosen at random: files may be ordered by class."""
    chosen: NDArray[Any] = x[np.random.default_rng(seed).permutation(len(x))[:IMAGES]]
    return chosen


def _batches(inputs: NDArray[Any]) -> Iterator[Tensor]:
    """Batches of nearly one size, as the statistics are plain averages over batches."""
    for part in np.array_split(inputs, -(-len(inputs) // _BATCH)):
        yield torch.from_numpy(part)


def _statistics(network: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance of each batch norm, copied, by its path."""
    return {
        name: (module.running_mean.clone(), module.running_var.clone())
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
        and module.running_mean is not None
        and module.running_var is not None
    }


def _change(
    name: str, mean: Tensor, variance: Tensor, new_mean: Tensor, new_variance: Tensor
) -> NormChange:
    floor = torch.finfo(variance.dtype).tiny  # a constant channel has no variance
    shift = (new_mean - mean).square() / variance.clamp(min=floor)
    moves = variance > 0
    ratio = new_variance[moves] / variance[moves]
    return NormChange(
        name,
        float(shift[moves].mean().sqrt()) if moves.any() else 0.0,
        float(ratio.median()) if moves.any() else 1.0,
    )


def _accuracy(network: nn.Module, data: Dataset, mode: Mode, seed: int) -> Accuracy:
    """Of the file that the network would give, in bnnkit's runtime."""
    model = Model(to_artifact(network, torch.from_numpy(data.x_test[:1]), mode=mode))
    images, labels = data.x_test[:IMAGES], data.y_test[:IMAGES]

    def accuracy(samples: int) -> float:
        probabilities = model.predict(images, samples=samples, seed=seed)
        return float((probabilities.argmax(axis=1) == labels).mean())

    return Accuracy(accuracy(0), accuracy(SAMPLES) if mode == "samples" else None)
