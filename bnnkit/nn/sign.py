"""The stochastic sign activation."""

from typing import Any

import torch
from torch import Tensor, nn

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Deterministic, Noise, Scaled, get_noise
from bnnkit.nn.base.straight_through import as_signs
from bnnkit.nn.estimators import Estimator, get_estimator
from bnnkit.nn.sampling import current_sampling, next_number


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
        self._deployed_noise: Noise | None = None

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
    def sampled_noise(self) -> Noise:
        """What evaluation with samples draws: the noise of training, or a scaled one.

        `Deterministic` where there is none.
        """
        if self._deployed_noise is not None:
            return self._deployed_noise
        return self.noise if self.estimator.draws_noise else Deterministic()

    @property
    def is_noisy(self) -> bool:
        """Whether evaluation has noise to draw."""
        return self.sampled_noise.name != "none"

    def deploy_noise(self, scale: float) -> None:
        """Let evaluation with samples draw the noise times a scale, 0 for none.

        Training stays as it is. A sign whose noise is "none" keeps none.

        Raises:
            UsageError: The scale is negative or not finite.
        """
        is_none = scale == 0 or self.noise.name == "none"
        self._deployed_noise = Deterministic() if is_none else Scaled(self.noise, scale)

    def _is_plus_without_training(self, a: Tensor) -> Tensor:
        drawn = None if self.training or not self.is_noisy else current_sampling()
        return a >= 0 if drawn is None else drawn.is_plus(a, self.sampled_noise)

    def _mark(self, a: Tensor) -> Tensor:
        attributes: dict[str, Any] = {"noise": self.sampled_noise.name}
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


def set_noise_scale(network: nn.Module, scale: float) -> None:
    """Let the samples of a network draw its signs' noise times a scale; 0 makes it deterministic.

    Networks that are trained without noise (estimator `deterministic-st`) gain by samples of a
    little, 0.1 to 0.3; their noise is the one that gives the gradient.

    Args:
        network: Its signs are changed, not its training.
        scale: From 0.

    Raises:
        UsageError: The scale is negative or not finite, or no sign has a noise to scale.
    """
    signs = [m for m in network.modules() if isinstance(m, Sign) and m.noise.name != "none"]
    if not signs:
        raise UsageError(
            "expected a network with signs that have a noise, whose scale is set; this has none"
        )
    for sign in signs:
        sign.deploy_noise(scale)
