"""The last layer of a network, which computes the logits and is not binary."""

import torch
from torch import Tensor, nn


class LastLinear(nn.Linear):
    """A linear layer in float32, even under autocast, because rounded logits harm training.

    Input: (N, I), floating-point. Output: (N, O); float32 under autocast.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Compute the logits."""
        device = input.device.type
        if not torch.is_autocast_enabled(device):
            return super().forward(input)
        with torch.autocast(device, enabled=False):
            return super().forward(input.float())
