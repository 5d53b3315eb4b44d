"""The stochastic sign activation."""

from typing import Any

import torch
from torch import Tensor, nn

from bnnkit.errors import UsageError
from bnnkit.nn.noise import Noise, get_noise
from bnnkit.nn.sampling import current_sampling, next_number
from bnnkit.nn.straight_through import as_signs, straight_through

_ESTIMATORS = ("st",)


class Sign(nn.Module):
    """x = sign(a - z), the noise z drawn in training and 0 in evaluation; x = +1 iff a - z >= 0.

    So sign(0) = +1, for -0.0 too, and in training P(x = +1) = F(a). Evaluation draws the noise as
    well inside of `bnnkit.nn.sampling`, by the law that all engines share. The gradient is the
    straight-through estimator, dL/da = 2F'(a) dL/dx, in training and in evaluation; with the noise
    drawn it is unbiased where the loss is multilinear in x.

    Input a: any shape, any floating-point dtype. Output x: same shape and dtype, +1 and -1.

    Args:
        noise: A noise or its name.
        estimator: "st", straight-through.

    Raises:
        UsageError: The noise or the estimator is unknown; in forward, the input is of integers.

    References:
        Shekhovtsov & Yanush, Reintroducing Straight-Through Estimators as Principled Methods for
        Stochastic Binary Networks, GCPR 2021, Algorithm 1.
    """

    def __init__(self, noise: str | Noise = "logistic", estimator: str = "st") -> None:
        super().__init__()
        if estimator not in _ESTIMATORS:
            raise UsageError(
                f"expected an estimator out of {', '.join(_ESTIMATORS)}, got {estimator!r}"
            )
        self.noise = get_noise(noise)
        self.estimator = estimator

    def forward(self, a: Tensor) -> Tensor:
        """Signs of a - z."""
        if not a.is_floating_point():
            raise UsageError(
                f"expected a floating-point input of Sign, got {a.dtype}; convert it with .float()"
            )
        if torch.onnx.is_in_onnx_export():
            return self._mark(a)
        x = as_signs(self._is_plus(a), a.dtype)
        return straight_through(a, x, self._jacobian)

    @property
    def is_noisy(self) -> bool:
        """Whether there is noise to draw."""
        return self.noise.name != "none"

    def _is_plus(self, a: Tensor) -> Tensor:
        if self.training:
            return a >= self.noise.sample(a)
        drawn = current_sampling()
        return a >= 0 if drawn is None or not self.is_noisy else drawn.is_plus(a, self.noise)

    def _mark(self, a: Tensor) -> Tensor:
        attributes: dict[str, Any] = {"noise": self.noise.name}
        number = next_number() if self.is_noisy else None
        if number is not None:
            attributes["call"] = number
        return torch.onnx.ops.symbolic(
            "bnnkit::Sign", (a,), attributes, dtype=a.dtype, shape=a.shape, version=1
        )

    def _jacobian(self, a: Tensor) -> Tensor:
        return 2 * self.noise.pdf(a)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"noise={self.noise.name!r}, estimator={self.estimator!r}"


def has_noisy_signs(network: nn.Module) -> bool:
    """Whether a network is a distribution over networks, of which samples can be drawn."""
    return any(isinstance(module, Sign) and module.is_noisy for module in network.modules())
