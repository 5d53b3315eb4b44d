"""The last layer of a network, which gives the logits and is not binary."""

import torch
from torch import Tensor, nn


class LastLinear(nn.Linear):
    """A linear layer in float32, under autocast too: logits that are rounded teach less.

    Input: (N, I), floating-point. Output: (N, O); float32 under autocast.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The logits."""
        device = input.device.type
        if not torch.is_autocast_enabled(device):
            return super().forward(input)
        with torch.autocast(device, enabled=False):
            return super().forward(input.float())
