"""RPReLU: a PReLU with learned shifts of its input and output."""

import torch
from torch import Tensor, nn


class ChannelShift(nn.Module):
    """Adds a learned shift to each channel, initially 0.

    Before a sign it is a learned threshold of each channel.

    Input: (N, C, H, W). Output: same shape and dtype.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the shifted values in the dtype of x, so that autocast saves memory."""
        return (x + self.shift[:, None, None]).to(x.dtype)


class RPReLU(nn.Module):
    r"""PReLU between two shifts: $y = \mathrm{prelu}(x + a) + b$, with parameters of each channel.

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
        """Compute the activations."""
        y: Tensor = self.after(self.prelu(self.before(x)))
        return y
