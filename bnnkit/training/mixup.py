"""Mixup: each input is a weighted mean of two, and so is its target."""

import torch
from torch import Tensor


def draw_shares(shape: tuple[int, ...], alpha: float, device: torch.device) -> Tensor:
    """Draw the share of the first of two inputs, from torch's default generator of the device.

    Args:
        shape: The shape of the result.
        alpha: Both parameters of the Beta distribution, above 0; small ones mix little.
        device: The device of the result.

    Returns:
        max(b, 1 - b) with b from Beta(alpha, alpha), float32, from 1/2 to 1: the first input is
        the larger part.

    References:
        Zhang, Cisse, Dauphin & Lopez-Paz, mixup: Beyond Empirical Risk Minimization, ICLR 2018,
        https://arxiv.org/abs/1710.09412.
    """
    parameter = torch.tensor(alpha, device=device)
    drawn = torch.distributions.Beta(parameter, parameter).sample(shape)
    return torch.maximum(drawn, 1 - drawn)


def mix(x: Tensor, share: Tensor) -> Tensor:
    """Mix each input of a batch with the one before it; the first is mixed with the last.

    Args:
        x: (B, ...), real or integer.
        share: The share of each input in its mixture, (B,); the one before it has the rest.

    Returns:
        (B, ...), the dtype of x; integers are rounded to nearest.
    """
    own = share.reshape(-1, *[1] * (x.dim() - 1))
    mixed = own * x + (1 - own) * x.roll(1, 0)
    return mixed.to(x.dtype) if x.is_floating_point() else mixed.round().to(x.dtype)
