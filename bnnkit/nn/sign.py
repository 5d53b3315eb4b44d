"""The stochastic sign activation."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments
from bnnkit.nn.base.noise import Deterministic, Noise, Scaled, get_noise
from bnnkit.nn.base.straight_through import as_signs
from bnnkit.nn.estimators import Estimator, get_estimator
from bnnkit.nn.sampling import current_sampling, next_number


class Sign(nn.Module):
    r"""$x = \mathrm{sign}(a - z)$, the noise z drawn in training, 0 in evaluation; sign(0) = +1.

    That holds for -0.0 too, and in training $P(x = +1) = F(a)$. Inside `bnnkit.nn.sampling`
    evaluation draws noise too, with the random numbers that all engines share. The estimator
    computes the gradient, in training and in evaluation. The default is the straight-through
    estimator, $dL/da = 2F'(a)\,dL/dx$, which with sampled noise is unbiased for a loss that is
    multilinear in x.

    Input a: any shape, any floating-point dtype. Output x: same shape and dtype, +1 and -1; only
    the estimator "gumbel-softmax" gives values between them, in training.

    Attributes:
        training_scale: The scale that `scale_training_noise` has set; None if it has set none.

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

    _training_scale: Tensor | None

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
        # A tensor if it is scheduled, so that a compiled or recorded step reads its current value.
        self.register_buffer("_training_scale", None, persistent=False)
        self.training_scale: float | None = None

    def forward(self, a: Tensor) -> Tensor:
        """Compute the signs of a - z."""
        if not a.is_floating_point():
            raise UsageError(
                f"expected a floating-point input of Sign, got {a.dtype}; convert it with .float()"
            )
        if torch.onnx.is_in_onnx_export():
            return self._mark(a)
        z = self._drawn(a) if self.training and self.estimator.draws_noise else None
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

    def scale_training_noise(self, scale: float) -> None:
        """Scale the noise that is drawn in training, and that of evaluation with samples.

        The gradient stays that of the unscaled noise: scale 1 is the estimator `st`, and scale 0
        is `deterministic-st`.

        Raises:
            UsageError: If the scale is negative or not finite, the sign draws no noise, or its
                estimator follows the distribution of the noise.
        """
        scale = arguments.real("the scale of a noise", scale)
        if not self.estimator.draws_noise or self.noise.name == "none":
            raise UsageError("expected a sign that draws noise in training, whose scale is set")
        if self.estimator.follows_distribution:
            raise UsageError(
                f"the estimator {self.estimator.name} follows the distribution of the noise, so "
                "its scale cannot change in training; use st, or noise logistic*0.5"
            )
        if self._training_scale is None:
            self._training_scale = torch.ones(())
        self._training_scale.fill_(scale)
        self.training_scale = float(scale)
        self._deployed_noise = None
        if scale != 1:
            self.deploy_noise(scale)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the scale; one that leaves the device "meta", where it had no value, gets it."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._training_scale is not None and self.training_scale is not None:
            self._training_scale.fill_(self.training_scale)
        return self

    def _drawn(self, a: Tensor) -> Tensor:
        z = self.noise.sample(a)
        return z if self._training_scale is None else z * self._training_scale

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


def training_noise_scale(network: nn.Module) -> float | None:
    """Return the scale that `scale_training_noise` has set; None if it has set none."""
    signs = (module for module in network.modules() if isinstance(module, Sign))
    scales = (sign.training_scale for sign in signs if sign.training_scale is not None)
    return next(scales, None)


def scale_training_noise(network: nn.Module, scale: float) -> None:
    """Scale the noise that the signs of a network draw in training, as `Sign` describes.

    Args:
        network: The network; signs without noise in training stay as they are. Call it before the
            network is moved to its device and compiled, then as often as the scale changes.
        scale: The scale, at least 0.

    Raises:
        UsageError: As for `Sign.scale_training_noise`; if no sign draws noise.
    """
    signs = [
        module
        for module in network.modules()
        if isinstance(module, Sign)
        and module.estimator.draws_noise
        and module.noise.name != "none"
    ]
    if not signs:
        raise UsageError(
            "expected a network whose signs draw noise in training, whose scale is set; this has "
            "none: use the estimator st and a noise"
        )
    for sign in signs:
        sign.scale_training_noise(scale)


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
