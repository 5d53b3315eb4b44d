"""The stochastic sign of an integer sum, as a file computes it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bnnkit.errors import UsageError

_LARGEST_DEVIATION = 0.25


@dataclass(frozen=True, eq=False)
class NoisyThreshold:
    """x = +1 iff c' >= fl(t + fl(r z)), where the input a of a sign is a function of an integer.

    c' is a sum, the maximum of sums, or its negative, as the file has it; a = alpha c' + beta, and
    c' = rint(a / alpha - beta / alpha) finds it again. t + r z is two float32 operations, each
    rounded (docs/artifact.md, Sampling).

    Attributes:
        threshold: t, float32 (C,).
        noise_scale: r, float32 (C,).
        per_unit: 1 / alpha, float64 (C,); 0 where a does not depend on c', which counts as 0 then.
        at_zero: -beta / alpha, float64 (C,); 0 alike.
    """

    threshold: Tensor
    noise_scale: Tensor
    per_unit: Tensor
    at_zero: Tensor

    def is_plus(self, a: Tensor, z: Tensor) -> Tensor:
        """Where the sign is +1.

        Args:
            a: The input of the sign, (N, C, ...), float32 or float64. In float32 a sum above
                about 2^20 is lost in the rounding of the batch norm: evaluate in float64 then.
            z: The noise, float32, same shape.

        Returns:
            bool, same shape.

        Raises:
            UsageError: An a is not near any value that an integer gives: the threshold belongs to
                another sign.
        """
        exact = a.double() * _as_channels(self.per_unit, a) + _as_channels(self.at_zero, a)
        c = exact.round()
        # NaN fails every comparison, so the question is whether all is well.
        if not bool(((exact - c).abs() <= _LARGEST_DEVIATION).all()):
            raise UsageError(
                "expected inputs of a sign that are the threshold's function of integers, got "
                "others: pass the thresholds of this network, and evaluate it in float64"
            )
        scaled = _as_channels(self.noise_scale, a) * z
        return c.to(torch.float32) >= _as_channels(self.threshold, a) + scaled


def _as_channels(values: Tensor, like: Tensor) -> Tensor:
    """Values (C,) shaped to broadcast along axis 1 of `like` (N, C, ...)."""
    return values.to(like.device).view(-1, *[1] * (like.dim() - 2))
