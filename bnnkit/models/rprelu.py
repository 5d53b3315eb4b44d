"""A leaky rectifier whose bend can be moved."""

import torch
from torch import Tensor, nn


class ChannelShift(nn.Module):
    """x + shift of the channel, which is learned and starts at 0.

    Before a sign it is a threshold of each channel that can be learned.

    Input: (N, C, H, W). Output: same shape and dtype.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The shifted values; of the dtype of x, so that autocast saves memory."""
        return (x + self.shift[:, None, None]).to(x.dtype)


class RPReLU(nn.Module):
    """PReLU between two shifts: y = prelu(x + a) + b, with a slope, a and b of each channel.

    Input: (N, C, H, W). Output: same shape and dtype.

    Args:
        channels: C.

    References:
        Liu et al., ReActNet, ECCV 2020, https://arxiv.org/abs/2003.03488.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = ChannelShift(channels)
        self.prelu = nn.PReLU(channels)
        self.after = ChannelShift(channels)

    def forward(self, x: Tensor) -> Tensor:
        """The activations."""
        y: Tensor = self.after(self.prelu(self.before(x)))
        return y
