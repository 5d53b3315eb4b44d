"""Calibration: re-estimates batch norms for the network as deployed, and reports the change."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnnkit.artifact.calibration_record import NormStatistics
from bnnkit.artifact.format.constants import Mode
from bnnkit.data import AnyDataset
from bnnkit.deployment.samples import SAMPLES
from bnnkit.export.assembly.metadata import Metadata
from bnnkit.export.from_torch.calibrated import BATCH, DRAWN_BATCH, IMAGES
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.nn.norm_statistics import statistics_of
from bnnkit.nn.recalibrate import Weights, recalibrate
from bnnkit.runtime import Model
from bnnkit.runtime.threads import MAX_THREADS
from bnnkit.training.augment import Views, random_views
from bnnkit.training.config_values import Augment
from bnnkit.training.task import Classification, Metric, Task

Advance = Callable[[int], object]
"""Called with the number of images done since the last call."""

TEST_IMAGES: Final = 10_000
"""The largest number of test images used."""
_CLASSIFICATION: Final = Classification()


@dataclass(frozen=True)
class NormChange:
    """The change of one batch norm.

    Attributes:
        name: The path of the module.
        mean_shift: The change of the means in units of the old standard deviations, as the root
            mean square over the channels.
        variance_ratio: The new variance divided by the old one, as the median over the channels.
    """

    name: str
    mean_shift: float
    variance_ratio: float


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of a file on test images, as fractions, or its mean absolute error.

    Attributes:
        deterministic: That of the pass without noise.
        samples: That of an ensemble of `SAMPLES` samples; None for a deterministic file.
    """

    deterministic: float
    samples: float | None


@dataclass(frozen=True)
class Calibration:
    """The changes made by calibration; `dataclasses.asdict` converts them to JSON.

    Attributes:
        data: The name of the data set.
        mode: The mode of deployment: with noise ("samples") or without ("deterministic").
        images: The number of training images used for the statistics.
        norms: The change of each batch norm, in the order of the network.
        test_images: The number of test images used for the accuracies.
        before: The accuracy or error of the file without calibration.
        after: The accuracy or error of the file with calibration.
        metric: "accuracy", of classes or labels, or "mae", of real values.
    """

    data: str
    mode: Mode
    images: int
    norms: tuple[NormChange, ...]
    test_images: int
    before: Accuracy
    after: Accuracy
    metric: Metric = "accuracy"


def images_to_see(data: AnyDataset) -> int:
    """Return the total that `calibrate` reports to `advance`; test images count twice."""
    return min(len(data.train), IMAGES) + 2 * min(len(data.test), TEST_IMAGES)


def calibrate(
    network: nn.Module,
    data: AnyDataset,
    mode: Mode,
    *,
    task: Task = _CLASSIFICATION,
    augment: Augment = "none",
    weight_draws: int = 0,
    seed: int = 0,
    advance: Advance = lambda n_images: None,
) -> Calibration:
    """Re-estimate every batch norm in place, in the mode of deployment.

    Training estimates the statistics under sampled weights. Deployment uses maximum-probability
    weights unless draws are stored, and their sums vary less. Uses as many threads as torch does.
    The images have to be augmented as in training, because a network's statistics on unchanged
    images that it has memorised are not those on new images.

    Args:
        network: The network, on the CPU; it must accept the inputs of the data.
        data: The training part is used for the statistics, the test part for the accuracies.
        mode: "samples": with the noise of the signs; "deterministic": without.
        task: What the network has learned.
        augment: The augmentation of the images in training.
        weight_draws: The number of draws of the weights that the file will store.
        seed: The seed of the noise, the weight draws and the choice of images.
        advance: Called with the number of images done since the last call.
    """
    inputs, _ = data.train.some(IMAGES, seed)
    stochastic: dict[str, Any] = {"mode": mode, "weight_draws": weight_draws, "seed": seed}
    before = _accuracy(network, data, task, stochastic, advance)
    old = statistics_of(network)
    reestimate(
        network, inputs, data.zero_point, mode,
        augment=augment, weight_draws=weight_draws, seed=seed, advance=advance,
    )  # fmt: skip
    new = statistics_of(network)
    changes = tuple(_change(name, old[name], new[name]) for name in new)
    after = _accuracy(network, data, task, stochastic, advance)
    test_images = min(len(data.test), TEST_IMAGES)
    return Calibration(
        data.name, mode, len(inputs), changes, test_images, before, after, task.metric
    )


def reestimate(
    network: nn.Module,
    inputs: NDArray[Any],
    zero_point: Sequence[int] | None,
    mode: Mode,
    *,
    augment: Augment,
    weight_draws: int,
    seed: int,
    advance: Advance = lambda n_images: None,
) -> None:
    """Re-estimate every batch norm in place, as `calibrate` does, and measure nothing.

    Args:
        network: The network, on the CPU.
        inputs: The inputs, (N, ...), not augmented.
        zero_point: The zero point of each channel of uint8 images; None for real inputs.
        mode: As for `calibrate`.
        augment: As for `calibrate`.
        weight_draws: As for `calibrate`.
        seed: As for `calibrate`.
        advance: As for `calibrate`.
    """
    size = DRAWN_BATCH if weight_draws else BATCH
    batches = _augmented(zero_point, augment, _batches(inputs, size, advance))
    weights: Weights = "drawn" if weight_draws else "maximum-probability"
    recalibrate(network, batches, mode, weights=weights, seed=seed)


def _batches(inputs: NDArray[Any], size: int, advance: Advance) -> Iterator[Tensor]:
    """Split into batches of nearly equal size, because statistics are plain means over batches."""
    for part in np.array_split(inputs, -(-len(inputs) // size)):
        yield torch.from_numpy(part)
        advance(len(part))


def _augmented(
    zero_point: Sequence[int] | None, augment: Augment, batches: Iterator[Tensor]
) -> Iterator[Tensor]:
    if augment == "none":
        yield from batches
        return
    for images in batches:
        yield random_views(Views(images, zero_point), torch.arange(len(images)), augment)


def _change(name: str, old: NormStatistics, new: NormStatistics) -> NormChange:
    moves = old.variance > 0  # a constant channel has no standard deviation
    if not moves.any():
        return NormChange(name, 0.0, 1.0)
    variance = old.variance[moves].astype(np.float64)
    shift = np.square(new.mean[moves] - old.mean[moves]) / variance
    ratio = new.variance[moves] / variance
    return NormChange(name, float(np.sqrt(shift.mean())), float(np.median(ratio)))


def _accuracy(
    network: nn.Module, data: AnyDataset, task: Task, stochastic: dict[str, Any], advance: Advance
) -> Accuracy:
    """Measure the accuracy, or error, of the network's artifact in bnnkit's runtime."""
    about = Metadata(outputs=() if task.outputs == "scores" else task.outputs)
    example = torch.from_numpy(np.zeros((1, *data.input_shape), data.input_dtype))
    model = Model(from_torch(network, example, metadata=about, **stochastic))
    threads = min(torch.get_num_threads(), MAX_THREADS)
    sums = {0: 0.0, SAMPLES: 0.0} if stochastic["mode"] == "samples" else {0: 0.0}
    done = 0
    for batch, targets in data.test.batches(BATCH, 0, TEST_IMAGES):
        for samples in sums:
            found = model.predict(
                batch,
                samples=samples,
                seed=stochastic["seed"],
                threads=threads,
                image_offset=done,
            )
            sums[samples] += _sum(task, found, targets)
        done += len(batch)
        advance(len(batch))
    means = {samples: total / done for samples, total in sums.items()}
    return Accuracy(means[0], means.get(SAMPLES))


def _sum(task: Task, found: NDArray[Any], targets: NDArray[Any]) -> float:
    """Sum the correct classes, or the share of correct labels or mean error of each image."""
    if task.targets == "classes":
        return int((found.argmax(axis=1) == targets).sum())
    if task.targets == "labels":
        return float(((found >= 0.5) == targets).mean(axis=1).sum())
    return float(np.abs(found - targets, dtype=np.float64).mean(axis=1).sum())
