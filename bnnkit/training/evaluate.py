"""What the deterministic network gives: class probabilities, and sums for the metrics."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bnnkit.nn.evaluating import evaluating


def evaluate(
    model: nn.Module, inputs: NDArray[Any] | Tensor, *, batch_size: int = 1000
) -> NDArray[np.float32]:
    """Class probabilities of the deterministic network.

    Args:
        model: Gives logits, (N, K); on any device.
        inputs: (N, ...), of the dtype that the model takes.
        batch_size: Inputs at a time.

    Returns:
        The softmax of the logits, float32 (N, K).
    """
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    with evaluating(model):
        parts = [
            model(torch.as_tensor(inputs[start : start + batch_size]).to(device)).softmax(1).cpu()
            for start in range(0, len(inputs), batch_size)
        ]
    probabilities: NDArray[np.float32] = torch.cat(parts).numpy()
    return probabilities


def score(model: nn.Module, inputs: Tensor, labels: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Sums over the examples, so that the shares of several processes can be added.

    Args:
        model: Gives logits, (N, K).
        inputs: (N, ...), on the model's device.
        labels: int64 (N,), there too.
        batch_size: Inputs at a time.

    Returns:
        The sums of the losses in nats, of the right answers, and of the examples; float64 (3,).
    """
    totals = torch.zeros(3, dtype=torch.float64, device=labels.device)
    with evaluating(model):
        for start in range(0, len(inputs), batch_size):
            y = labels[start : start + batch_size]
            logits = model(inputs[start : start + batch_size])
            totals += batch_totals(functional.cross_entropy(logits, y), logits, y)
    return totals


def batch_totals(loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """A batch's sums of the losses, of the right answers, and of the examples; float64 (3,)."""
    right = (logits.argmax(1) == labels).sum()
    examples = torch.full_like(right, len(labels))
    return torch.stack([loss.detach().double() * len(labels), right.double(), examples.double()])
