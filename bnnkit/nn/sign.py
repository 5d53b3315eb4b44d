"""The stochastic sign activation."""

from typing import Any

import torch
from torch import Tensor, nn

from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments
from bnnkit.nn.base.noise import Deterministic, Noise, Scaled, get_noise
from bnnkit.nn.base.straight_through import as_signs
from bnnkit.nn.estimators import Estimator, get_estimator
from bnnkit.nn.sampling import current_sampling, next_number


class Sign(nn.Module):
    """x = sign(a - z), the noise z drawn in training and 0 in evaluation; x = +1 iff a - z >= 0.

    So sign(0) = +1, for -0.0 too, and in training P(x = +1) = F(a). Inside `bnnkit.nn.sampling`
    evaluation draws noise too, with the random numbers that all engines share. The estimator
    computes the gradient, in training and in evaluation. The default is the straight-through
    estimator, dL/da = 2F'(a) dL/dx, which with sampled noise is unbiased for a loss that is
    multilinear in x.

    Input a: any shape, any floating-point dtype. Output x: same shape and dtype, +1 and -1; only
    the estimator "gumbel-softmax" gives values between them, in training.

    Args:
        noise: A noise or its name.
        estimator: An estimator or its name; `docs/estimators.md` compares them.
        options: The options of an estimator given by name.

    Raises:
        UsageError: If the noise, the estimator or an option is unknown, or they cannot be
            combined; in forward, if the input has an integer dtype.

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
        """Compute the signs of a - z."""
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
        """The noise of evaluation with samples: that of training, or a scaled one.

        `Deterministic` if there is none.
        """
        if self._deployed_noise is not None:
            return self._deployed_noise
        return self.noise if self.estimator.draws_noise else Deterministic()

    @property
    def is_noisy(self) -> bool:
        """Whether evaluation with samples draws noise."""
        return self.sampled_noise.name != "none"

    def deploy_noise(self, scale: float) -> None:
        """Scale the noise of evaluation with samples; 0 turns it off.

        Training is unchanged. A sign whose noise is "none" stays without noise.

        Raises:
            UsageError: If the scale is negative or not finite.
        """
        scale = arguments.real("the scale of a noise", scale)
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
        """Return the arguments for print(model)."""
        return f"noise={self.noise.name!r}, estimator={self.estimator.name!r}"


def has_noisy_signs(network: nn.Module) -> bool:
    """Return whether a network has noisy signs, so that samples of it can be drawn."""
    return any(isinstance(module, Sign) and module.is_noisy for module in network.modules())


def set_noise_scale(network: nn.Module, scale: float) -> None:
    """Scale the noise of a network's signs in samples; 0 makes it deterministic.

    Samples with a little noise, scale 0.1 to 0.3, improve networks that are trained without noise
    (estimator `deterministic-st`). Their noise is the one that defines the gradient.

    Args:
        network: The network; only its samples change, not its training.
        scale: The scale, at least 0.

    Raises:
        UsageError: If the scale is negative or not finite, or no sign has a noise to scale.
    """
    scale = arguments.real("the scale of a noise", scale)
    signs = [m for m in network.modules() if isinstance(m, Sign) and m.noise.name != "none"]
    if not signs:
        raise UsageError(
            "expected a network with signs that have a noise, whose scale is set; this has none"
        )
    for sign in signs:
        sign.deploy_noise(scale)
