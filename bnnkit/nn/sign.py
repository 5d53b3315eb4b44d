"""The stochastic sign activation."""

from typing import Any

import torch
from torch import Tensor, nn

from bnnkit.errors import UsageError
from bnnkit.nn.estimators import Estimator, get_estimator
from bnnkit.nn.noise import Noise, get_noise
from bnnkit.nn.sampling import current_sampling, next_number
from bnnkit.nn.straight_through import as_signs


class Sign(nn.Module):
    """x = sign(a - z), the noise z drawn in training and 0 in evaluation; x = +1 iff a - z >= 0.

    So sign(0) = +1, for -0.0 too, and in training P(x = +1) = F(a). Evaluation draws the noise as
    well inside of `bnnkit.nn.sampling`, by the law that all engines share. The gradient is that of
    the estimator, in training and in evaluation; by default it is the straight-through estimator,
    dL/da = 2F'(a) dL/dx, which with the noise drawn is unbiased where the loss is multilinear in
    x.

    Input a: any shape, any floating-point dtype. Output x: same shape and dtype, +1 and -1;
    between them in training with the estimator "gumbel-softmax" alone.

    Args:
        noise: A noise or its name.
        estimator: An estimator or its name; `docs/estimators.md` compares them.
        options: Of the estimator that is named.

    Raises:
        UsageError: The noise, the estimator or an option is unknown, or they do not go together;
            in forward, the input is of integers.

    References:
        Shekhovtsov & Yanush, Reintroducing Straight-Through Estimators as Principled Methods for
        Stochastic Binary Networks, GCPR 2021, Algorithm 1.
    """

    def __init__(
        self,
        noise: str | Noise = "logistic",
        estimator: str | Estimator = "st",
        **options: Any,
    ) -> None:
        super().__init__()
        self.noise = get_noise(noise)
        self.estimator = get_estimator(estimator, options)
        self.estimator.check(self.noise)

    def forward(self, a: Tensor) -> Tensor:
        """Signs of a - z."""
        if not a.is_floating_point():
            raise UsageError(
                f"expected a floating-point input of Sign, got {a.dtype}; convert it with .float()"
            )
        if torch.onnx.is_in_onnx_export():
            return self._mark(a)
        z = self.noise.sample(a) if self.training and self.estimator.draws_noise else None
        is_plus = self._is_plus_without_training(a) if z is None else a >= z
        return self.estimator.propagate(a, as_signs(is_plus, a.dtype), z, self.noise)

    @property
    def is_noisy(self) -> bool:
        """Whether there is noise to draw."""
        return self.noise.name != "none" and self.estimator.draws_noise

    def _is_plus_without_training(self, a: Tensor) -> Tensor:
        drawn = None if self.training or not self.is_noisy else current_sampling()
        return a >= 0 if drawn is None else drawn.is_plus(a, self.noise)

    def _mark(self, a: Tensor) -> Tensor:
        attributes: dict[str, Any] = {"noise": self.noise.name if self.is_noisy else "none"}
        number = next_number() if self.is_noisy else None
        if number is not None:
            attributes["call"] = number
        return torch.onnx.ops.symbolic(
            "bnnkit::Sign", (a,), attributes, dtype=a.dtype, shape=a.shape, version=1
        )

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"noise={self.noise.name!r}, estimator={self.estimator.name!r}"


def has_noisy_signs(network: nn.Module) -> bool:
    """Whether a network is a distribution over networks, of which samples can be drawn."""
    return any(isinstance(module, Sign) and module.is_noisy for module in network.modules())
