"""Evaluation of the deterministic network: z = 0 in every sign, maximum-probability weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set the model to evaluation mode without gradients; restore every module afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        # TensorFloat-32, cuDNN's default, would round the real-valued parts.
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
