"""The stochastic sign of an integer sum, computed exactly as in an exported file."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bnnkit.errors import UsageError

_LARGEST_DEVIATION = 0.25


@dataclass(frozen=True, eq=False)
class NoisyThreshold:
    """x = +1 iff c' >= fl(t + fl(r z)), where a sign's input a is a function of an integer c'.

    c' is the value in the file: a sum, a maximum of sums, or the negative of either. The input is
    a = alpha c' + beta, so c' = rint(a / alpha - beta / alpha). t + r z is two float32 operations,
    each rounded (docs/artifact.md, Sampling).

    Attributes:
        threshold: t, float32 (C,).
        noise_scale: r, float32 (C,).
        per_unit: 1 / alpha, float64 (C,); 0 where a does not depend on c', so that c' is 0.
        at_zero: -beta / alpha, float64 (C,); 0 in these channels too.
    """

    threshold: Tensor
    noise_scale: Tensor
    per_unit: Tensor
    at_zero: Tensor

    def is_plus(self, a: Tensor, z: Tensor) -> Tensor:
        """Return where the sign is +1.

        Args:
            a: The input of the sign, (N, C, ...), float32 or float64. Use float64 for sums above
                about 2^20, which the rounding of batch norm in float32 makes unrecoverable.
            z: The noise, float32, same shape.

        Returns:
            bool, same shape.

        Raises:
            UsageError: If an input is not near alpha c' + beta for any integer c', because the
                threshold belongs to another sign.
        """
        exact = a.double() * _as_channels(self.per_unit, a) + _as_channels(self.at_zero, a)
        c = exact.round()
        # NaN fails every comparison, so test that all numbers are valid.
        if not bool(((exact - c).abs() <= _LARGEST_DEVIATION).all()):
            raise UsageError(
                "expected inputs of a sign that are the threshold's function of integers, got "
                "others: pass the thresholds of this network, and evaluate it in float64"
            )
        scaled = _as_channels(self.noise_scale, a) * z
        return c.to(torch.float32) >= _as_channels(self.threshold, a) + scaled


def _as_channels(values: Tensor, like: Tensor) -> Tensor:
    """Reshape values (C,) to broadcast along axis 1 of `like` (N, C, ...)."""
    return values.to(like.device).view(-1, *[1] * (like.dim() - 2))
