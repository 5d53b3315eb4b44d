"""Evaluate a torch network, deterministic or as an ensemble: probabilities and sums of metrics.

An ensemble averages the softmax over samples of the noise, with the same random numbers as in
every engine (docs/artifact.md, Sampling); its result depends on the seed, not on the batches.
"""

from math import log
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bnnkit.artifact.format.sample import Sample, check_samples
from bnnkit.nn import sampling
from bnnkit.nn.evaluating import evaluating

_BATCH = 1000


def evaluate(
    model: nn.Module,
    inputs: NDArray[Any] | Tensor,
    *,
    samples: int = 0,
    seed: int = 0,
    antithetic: bool = False,
    batch_size: int = _BATCH,
) -> NDArray[np.float32]:
    """Compute class probabilities.

    Args:
        model: A network that returns logits, (N, K); on any device.
        inputs: (N, ...), of the dtype that the model takes; the first is image 0.
        samples: Number of samples of the noise; 0 is the deterministic network.
        seed: Seed of the noise.
        antithetic: Whether sample 2j + 1 uses 1 - u for each random number u of sample 2j.
        batch_size: Inputs at a time.

    Returns:
        The mean over the samples of the softmax of the logits, float32 (N, K), computed in
        float64.

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
            log_p = _log_probabilities(model, x, _samples(samples, seed, start, antithetic))
            parts.append(log_p.exp().float().cpu())
    probabilities: NDArray[np.float32] = torch.cat(parts).numpy()
    return probabilities


def score(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    samples: int = 0,
    seed: int = 0,
    first_image: int = 0,
    batch_size: int = _BATCH,
) -> Tensor:
    """Sum loss and correct answers over the examples; the sums of several processes can be added.

    Args:
        model: A network that returns logits, (N, K).
        inputs: (N, ...), on the model's device.
        labels: int64 (N,), on the same device.
        samples: Number of samples of the noise; 0 is the deterministic network.
        seed: Seed of the noise.
        first_image: Image number of the first input.
        batch_size: Inputs at a time.

    Returns:
        The sum of the losses in nats, the number of correct answers, and the number of examples;
        float64 (3,).

    Raises:
        UsageError: As for `evaluate`.
    """
    totals = torch.zeros(3, dtype=torch.float64, device=labels.device)
    with evaluating(model):
        for start in range(0, len(inputs), batch_size):
            y = labels[start : start + batch_size]
            drawn = _samples(samples, seed, first_image + start)
            log_p = _log_probabilities(model, inputs[start : start + batch_size], drawn)
            totals += batch_totals(functional.nll_loss(log_p, y), log_p, y)
    return totals


def batch_totals(loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Return a batch's summed loss, correct answers, and examples; float64 (3,)."""
    right = (logits.argmax(1) == labels).sum()
    examples = torch.full_like(right, len(labels))
    return torch.stack([loss.detach().double() * len(labels), right.double(), examples.double()])


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


def _log_probabilities(model: nn.Module, x: Tensor, samples: list[Sample | None]) -> Tensor:
    """Return the logarithms of the mean probabilities, float64 (N, K)."""
    passes = torch.stack([_logits(model, x, sample).double().log_softmax(1) for sample in samples])
    return passes.logsumexp(0) - log(len(samples))


def _logits(model: nn.Module, x: Tensor, sample: Sample | None) -> Tensor:
    with sampling(sample):
        logits: Tensor = model(x)
    return logits
