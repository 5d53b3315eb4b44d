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


class LastConv2d(nn.Conv2d):
    """A convolution that computes logits of pixels in float32, as `LastLinear` those of images.

    Input: (N, I, H, W), floating-point. Output: (N, O, H', W'); float32 under autocast.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Compute the logits."""
        device = input.device.type
        if not torch.is_autocast_enabled(device):
            return super().forward(input)
        with torch.autocast(device, enabled=False):
            return super().forward(input.float())
