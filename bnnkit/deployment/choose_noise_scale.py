"""The scale of the signs' noise in a file, chosen on held-out images."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bnnkit.data import AnyDataset
from bnnkit.data.streamed import AnyExamples
from bnnkit.deployment.calibrate import reestimate
from bnnkit.deployment.samples import SAMPLES
from bnnkit.errors import UsageError
from bnnkit.export.from_torch.calibrated import BATCH, IMAGES
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.nn.sign import set_noise_scale
from bnnkit.runtime import Model
from bnnkit.runtime.threads import MAX_THREADS
from bnnkit.training.config_values import Augment

SCALES: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0)
"""The scales that are tried by default. A network trained with noise was trained at scale 1; the
best ones of networks trained without noise are near 0.15."""
By = Literal["accuracy", "nll"]


@dataclass(frozen=True, kw_only=True)
class NoiseScaleChoice:
    """A noise scale and the scores that chose it; `dataclasses.asdict` converts it to JSON.

    Attributes:
        scale: The chosen scale.
        by: "accuracy": the highest accuracy, and among equal ones the lowest nll; "nll": the
            lowest nll.
        samples: The number of samples that the ensemble averages.
        images: The number of held-out images.
        data: The name of the data set.
        seed: The seed of the noise.
        scales: The scales that were tried.
        accuracy: The accuracy of the ensemble at each scale, a fraction.
        nll: The mean negative log likelihood at each scale, in nats.
    """

    scale: float
    by: By
    samples: int
    images: int
    data: str
    seed: int
    scales: tuple[float, ...]
    accuracy: tuple[float, ...]
    nll: tuple[float, ...]

    def to_json(self) -> str:
        """Return the entry of the metadata."""
        return json.dumps(asdict(self), ensure_ascii=False)


def choose_noise_scale(
    network: nn.Module,
    data: AnyDataset,
    trained: AnyExamples,
    held_out: tuple[NDArray[Any], NDArray[Any]],
    *,
    scales: Sequence[float] = SCALES,
    by: By = "accuracy",
    samples: int = SAMPLES,
    augment: Augment = "none",
    weight_draws: int = 0,
    seed: int = 0,
    advance: Callable[[int], object] = lambda n_scales: None,
) -> NoiseScaleChoice:
    """Choose the scale whose ensemble is best on held-out images.

    For each scale the batch norms are re-estimated under that noise, as `calibrate` does, on
    images that are not held out, and bnnkit's runtime classifies the held-out images. With the
    same seed all scales see the same random numbers, so they differ by less than chance.

    Args:
        network: A network that decides between classes, on the CPU; it is not changed.
        data: The data set, for its name and zero point.
        trained: Training examples for the statistics.
        held_out: Images, (N, ...), that the network was not trained on, and their labels, (N,).
        scales: The scales to try, above 0, each once.
        by: The score that chooses, as in `NoiseScaleChoice`.
        samples: The number of samples.
        augment: The augmentation of the images in training.
        weight_draws: The number of draws of the weights that the file will store.
        seed: The seed of the noise and of the choice of images.
        advance: Called with 1 after each scale.

    Raises:
        UsageError: A scale is not a positive number, or listed twice, or the network has no
            noise to scale.
    """
    _check(scales)
    inputs, _ = trained.some(IMAGES, seed)
    images, labels = held_out
    scores: list[tuple[float, float]] = []
    for scale in scales:
        scaled = deepcopy(network)
        set_noise_scale(scaled, scale)
        reestimate(
            scaled, inputs, data.zero_point, "samples",
            augment=augment, weight_draws=weight_draws, seed=seed,
        )  # fmt: skip
        stochastic: dict[str, Any] = {"mode": "samples", "weight_draws": weight_draws}
        model = Model(from_torch(scaled, torch.from_numpy(images[:1]), seed=seed, **stochastic))
        scores.append(_scores(_predicted(model, images, samples, seed), labels))
        advance(1)
    accuracy, nll = zip(*scores, strict=True)
    return NoiseScaleChoice(
        scale=scales[best_of(accuracy, nll, by)],
        by=by,
        samples=samples,
        images=len(images),
        data=data.name,
        seed=seed,
        scales=tuple(scales),
        accuracy=accuracy,
        nll=nll,
    )


def best_of(accuracy: Sequence[float], nll: Sequence[float], by: By) -> int:
    """Return the index of the best scores; of equal ones, the first."""
    if by == "nll":
        return min(range(len(nll)), key=lambda index: nll[index])
    return min(range(len(nll)), key=lambda index: (-accuracy[index], nll[index]))


def _check(scales: Sequence[float]) -> None:
    if not scales or not all(np.isfinite(scale) and scale > 0 for scale in scales):
        raise UsageError(f"expected noise scales above 0 to choose from, got {list(scales)}")
    if len(set(scales)) < len(scales):
        raise UsageError(f"expected each noise scale once, got {list(scales)}")


def _predicted(model: Model, images: NDArray[Any], samples: int, seed: int) -> NDArray[np.float64]:
    """Return the mean probabilities of the samples, (N, K)."""
    threads = min(torch.get_num_threads(), MAX_THREADS)
    parts = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        parts.append(
            model.predict(batch, samples=samples, seed=seed, threads=threads, image_offset=start)
        )
    probabilities: NDArray[np.float64] = np.concatenate(parts).astype(np.float64)
    return probabilities


def _scores(probabilities: NDArray[np.float64], labels: NDArray[Any]) -> tuple[float, float]:
    """Return the accuracy and the mean negative log likelihood in nats."""
    right = probabilities.argmax(axis=1) == labels
    smallest = float(np.finfo(np.float32).tiny)
    of_label = probabilities[np.arange(len(labels)), labels].clip(min=smallest)
    return float(right.mean()), float(-np.log(of_label).mean())
