"""Evaluate a torch network, deterministic or as an ensemble: predictions and sums of metrics.

An ensemble averages the probabilities, or real values, over samples of the noise, with the same
random numbers as in every engine (docs/artifact.md, Sampling); its result depends on the seed, not
on the batches.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnnkit.artifact.format.sample import Sample, check_samples
from bnnkit.nn import sampling
from bnnkit.nn.evaluating import evaluating
from bnnkit.training.task import Classification, Task, batch_totals

EVALUATION_BATCH = 1000
_CLASSIFICATION = Classification()


def evaluate(
    model: nn.Module,
    inputs: NDArray[Any] | Tensor,
    *,
    samples: int = 0,
    seed: int = 0,
    antithetic: bool = False,
    batch_size: int = EVALUATION_BATCH,
    task: Task = _CLASSIFICATION,
) -> NDArray[np.float32]:
    """Compute class probabilities, or what else the network's task says.

    Args:
        model: A network that returns logits, or values, (N, K); on any device.
        inputs: (N, ...), of the dtype that the model takes; the first is image 0.
        samples: Number of samples of the noise; 0 is the deterministic network.
        seed: Seed of the noise.
        antithetic: Whether sample 2j + 1 uses 1 - u for each random number u of sample 2j.
        batch_size: Inputs at a time.
        task: What the network has learned; see `bnnkit.training.task`.

    Returns:
        The mean over the samples of the softmax of the logits, of their sigmoid if they are
        those of labels, or of the values; float32 (N, K), computed in float64.

    Raises:
        UsageError: The number of samples or the seed is out of range, or samples are requested
            from a network without noisy signs.
    """
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    parts = []
    with evaluating(model):
        for start in range(0, len(inputs), batch_size):
            x = torch.as_tensor(inputs[start : start + batch_size]).to(device)
            averaged = _averaged(task, model, x, _samples(samples, seed, start, antithetic))
            parts.append(task.predictions(averaged).float().cpu())
    predictions: NDArray[np.float32] = torch.cat(parts).numpy()
    return predictions


def score_batches(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    samples: int = 0,
    seed: int = 0,
    first_image: int = 0,
    batch_size: int = EVALUATION_BATCH,
    task: Task = _CLASSIFICATION,
) -> Tensor:
    """Sum loss and correct answers over the examples of each batch.

    Args:
        model: A network that returns logits, or values, (N, K).
        inputs: (N, ...), on the model's device.
        labels: The targets, on the same device: int64 (N,), uint8 (N, K) or float32 (N, K).
        samples: Number of samples of the noise; 0 is the deterministic network.
        seed: Seed of the noise.
        first_image: Image number of the first input.
        batch_size: Inputs at a time.
        task: What the network learns.

    Returns:
        For each of b batches the sum of the losses, in nats if the outputs hold probabilities; the
        number of correct answers, or the sum of absolute errors; and the number of examples;
        float64 (b, 3), as `batch_totals`.

    Raises:
        UsageError: As for `evaluate`.
    """
    starts = range(0, len(inputs), batch_size)
    totals = torch.zeros((len(starts), 3), dtype=torch.float64, device=labels.device)
    with evaluating(model):
        for batch, start in enumerate(starts):
            y = labels[start : start + batch_size]
            drawn = _samples(samples, seed, first_image + start)
            averaged = _averaged(task, model, inputs[start : start + batch_size], drawn)
            totals[batch] = batch_totals(task.loss(averaged, y), averaged, y)
    return totals


def _samples(
    samples: int, seed: int, image_offset: int, antithetic: bool = False
) -> list[Sample | None]:
    """Return the passes of a batch; None is the deterministic one."""
    check_samples(samples)
    if samples == 0:
        return [None]
    return [
        Sample(seed=seed, index=index, image_offset=image_offset, antithetic=antithetic)
        for index in range(samples)
    ]


def _averaged(task: Task, model: nn.Module, x: Tensor, samples: list[Sample | None]) -> Tensor:
    """Return the outputs of the ensemble, float64 (N, K)."""
    return task.average(torch.stack([_outputs(model, x, sample).double() for sample in samples]))


def _outputs(model: nn.Module, x: Tensor, sample: Sample | None) -> Tensor:
    with sampling(sample):
        outputs: Tensor = model(x)
    return outputs
