"""The base class of weight rules: from real-valued latent weights to binary weights."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.registry import Registry
from bnnkit.nn.base.straight_through import as_signs, straight_through

_INITIAL_DEVIATION = 0.1


class WeightRule(nn.Module, ABC):
    """How latent weights become weights in training, and which signs are deployed.

    A rule works with every torch optimizer: it defines the forward weight and its gradient. Other
    parts of an update are in `after_step`, which `attach_rules` calls after each step of an
    optimizer, and in `progress`, which a training loop sets with `set_progress`.

    To add your own rule, subclass, set `name`, write `forward`, and decorate the class with
    `register_weight_rule`. The keyword arguments of its constructor are its options. Each layer
    has its own rule, so a rule may have buffers, but no parameters. All methods take and give
    weights with output channels on the first axis, those of transposed convolutions too.

    Attributes:
        name: The name by which it is chosen.
        default_noise: The noise of the weights if none is given.
    """

    name: ClassVar[str]
    default_noise: ClassVar[str] = "none"

    @abstractmethod
    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Compute the weights in training, of the shape and dtype of the latent weights."""

    def deployed_latent(self, latent: Tensor) -> Tensor:
        """Return real numbers whose signs, with sign(0) = +1, are the deployed weights."""
        return latent

    def deployed_weight(self, latent: Tensor) -> Tensor:
        """Return the weights in evaluation, +1 and -1; the gradient passes unchanged."""
        signs = as_signs(self.deployed_latent(latent.detach()) >= 0, latent.dtype)
        return straight_through(latent, signs, _identity)

    def initial(self, shape: tuple[int, ...], noise: Noise) -> Tensor:
        """Draw initial latent weights; normal with deviation 0.1 by default."""
        return _INITIAL_DEVIATION * torch.randn(shape)

    def initial_from(self, weight: Tensor) -> Tensor:
        r"""Return initial latent weights for the real-valued weights of a layer.

        $\eta = w / (2\,\mathrm{rms}(w))$ keeps signs and relative sizes. With the logistic noise a
        weight with $|w| = \mathrm{rms}$ keeps its sign with probability $\sigma(1) = 0.73$, and
        one three times as large with 0.95.
        """
        rms = weight.square().mean().sqrt()
        return weight / (2 * rms).clamp(min=torch.finfo(weight.dtype).tiny)

    def prepare(self, latent: Tensor) -> None:
        """Create the buffers for latent weights of this shape."""

    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """Complete an update in place, after the optimizer changed the latent weights.

        Args:
            latent: The latent weights, without gradient.
            lr: The learning rate of the step.
        """

    def check(self, noise: Noise) -> None:
        """Check that the rule works with a noise; by default only with "none".

        Raises:
            UsageError: If it does not.
        """
        if noise.name != "none":
            raise UsageError(
                f"expected no noise of the weights with the rule {self.name}, which does not draw "
                f"weights, got {noise.name!r}; use weight noise none, or the rule mirror-descent"
            )

    def extra_repr(self) -> str:
        """Return the name and the options for print(model)."""
        options = {k: v for k, v in vars(self).items() if isinstance(v, int | float | str)}
        del options["training"]
        return ", ".join([repr(self.name), *(f"{k}={v!r}" for k, v in options.items())])


def _identity(latent: Tensor) -> float:
    return 1.0


WEIGHT_RULES: Registry[WeightRule] = Registry(
    "a weight rule",
    WeightRule,  # type: ignore[type-abstract]  # only its members are made
    register_with="register_weight_rule",
)

R = TypeVar("R", bound=type[WeightRule])


def register_weight_rule(rule: R) -> R:
    """Register a weight rule under its `name` for layers, models and configurations.

    A class decorator.

    Raises:
        UsageError: If the class has no name, or the name belongs to another rule.
    """
    return WEIGHT_RULES.register(rule)


def get_weight_rule(
    rule: str | WeightRule, options: Mapping[str, Any] | None = None
) -> WeightRule:
    """Return the rule with a name and options; a `WeightRule` is copied.

    Raises:
        UsageError: If the name or an option is unknown or out of its range, or a rule comes with
            options.
    """
    found = WEIGHT_RULES.get(rule, options)
    return deepcopy(found) if found is rule else found
