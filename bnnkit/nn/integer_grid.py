"""The grid of the integer first layer's weights: 12 bits, and sums that float32 holds exactly."""

import torch
from torch import Tensor

from bnnkit.nn.base.straight_through import straight_through

MAX_WEIGHT = 2047
"""The largest absolute integer weight: 12 bits."""

MAX_WEIGHT_SUM = 65792
"""The largest sum of absolute integer weights of an output channel.

A pixel minus its zero point is at most 255 in absolute value, and 255 * 65792 < 2**24: every
partial sum, in any order, is an integer that float32 holds exactly.
"""


def grid_exponent(weight: Tensor) -> Tensor:
    """Find the finest power-of-two grid of each output channel on which the sums are exact.

    The smallest e with max|w| / 2**e <= 2047 and, after rounding, sum|w_int| <= 65792. As
    |rint(v)| is at most |v| + 1/2 and at most 2|v|, the second holds where sum|w| / 2**e <=
    max(65792 - K/2, 65792 / 2), for K weights a channel.

    Args:
        weight: Floating-point, shape (O, ...).

    Returns:
        int32, shape (O,).
    """
    # In float64 the order of the sum does not matter, so all devices find the same grid.
    size = weight.detach().double().abs().flatten(1)
    max_scaled_sum = max(MAX_WEIGHT_SUM - size.shape[1] / 2, MAX_WEIGHT_SUM / 2)
    finest_step = torch.maximum(size.amax(1) / MAX_WEIGHT, size.sum(1) / max_scaled_sum)
    # The clamp keeps products with sums in float32's normal range, for all-zero channels too.
    return torch.log2(finest_step).ceil().clamp(-100, 100).to(torch.int32)


def power_of_two(exponent: Tensor) -> Tensor:
    """Compute 2**exponent as float32 from its bits, for int32 exponents in [-126, 127].

    exp2 and pow are not exact on every device.
    """
    return ((exponent + 127) << 23).view(torch.float32)


def round_to_grid(scaled: Tensor) -> Tensor:
    """Round to integers in [-2047, 2047], ties to even, with a straight-through gradient.

    Args:
        scaled: Weights divided by the step of their grid, float32.
    """
    return straight_through(scaled, torch.round(scaled).clamp(-MAX_WEIGHT, MAX_WEIGHT), _jacobian)


def _jacobian(scaled: Tensor) -> float:
    return 1.0
