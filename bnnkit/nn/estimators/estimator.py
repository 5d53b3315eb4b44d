"""The base class of estimators: the backward pass of x = sign(a - z)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.registry import Registry
from bnnkit.nn.base.straight_through import straight_through


class Estimator(ABC):
    """How the gradient of a loss passes through the sign.

    Most estimators multiply the gradient by an elementwise derivative, `jacobian`. To add your
    own, subclass, set `name`, write `jacobian` or `propagate`, and decorate the class with
    `register_estimator`. The keyword arguments of its constructor are its options. An estimator
    has no state, so many signs may share it.

    Attributes:
        name: The name by which it is chosen.
        draws_noise: Whether z is drawn in training. If not, z = 0, and the network is
            deterministic, whatever its noise is.
        follows_distribution: Whether the gradient is a function of the probabilities F(a), and so
            wrong if z has another scale than the noise.
    """

    name: ClassVar[str]
    draws_noise: ClassVar[bool] = True
    follows_distribution: ClassVar[bool] = False

    @abstractmethod
    def jacobian(self, a: Tensor, noise: Noise) -> Tensor | float:
        """Return the elementwise derivative to use for dx/da; `a` is float32 or float64."""

    def propagate(self, a: Tensor, x: Tensor, z: Tensor | None, noise: Noise) -> Tensor:
        """Return the output of the sign, with the estimator's gradient.

        Args:
            a: The input, any shape.
            x: sign(a - z), same shape and dtype.
            z: The noise drawn in training, float32 or float64; None if z is 0 or drawn by
                `bnnkit.nn.sampling`.
            noise: The distribution of z.
        """
        return straight_through(a, x, partial(self.jacobian, noise=noise))

    def check(self, noise: Noise) -> None:  # noqa: B027  # most go with every noise
        """Check that the estimator works with a noise.

        Raises:
            UsageError: If it does not.
        """

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({options})"


_OF_LAYERS = "in layers use st, or zgr"
_TAKES_THE_LOSS: Final = (
    "it evaluates the loss at several draws of one layer, which a layer by itself cannot do: "
    f"call bnnkit.nn.estimators.{{}} with the loss, for one stochastic layer; {_OF_LAYERS}"
)
_OF_WEIGHTS: Final = (
    "it is a rule for weights, which needs latent weights that an optimizer keeps: use "
    f"weight_rule={{}}; {_OF_LAYERS}"
)
_FUNCTIONS = ("reinforce", "arm", "disarm", "local-expectations")
_RULES = (
    *("mirror-descent", "projected-gradient", "variational-bayes", "binary-connect", "adaste"),
    *("md-tanh", "md-softmax", "proxquant", "bayesbinn", "bop", "standardised", "recu", "pmf"),
)

ESTIMATORS: Registry[Estimator] = Registry(
    "an estimator",
    Estimator,  # type: ignore[type-abstract]  # only its members are made
    register_with="register_estimator",
    elsewhere={name: _TAKES_THE_LOSS.format(name.replace("-", "_")) for name in _FUNCTIONS}
    | {name: _OF_WEIGHTS.format(name) for name in _RULES},
)

E = TypeVar("E", bound=type[Estimator])


def register_estimator(estimator: E) -> E:
    """Register an estimator under its `name` for layers, models and configurations.

    A class decorator.

    Raises:
        UsageError: If the class has no name, or the name belongs to another estimator.
    """
    return ESTIMATORS.register(estimator)


def get_estimator(
    estimator: str | Estimator, options: Mapping[str, Any] | None = None
) -> Estimator:
    """Return the estimator with a name and options; an `Estimator` is returned unchanged.

    Raises:
        UsageError: If the name or an option is unknown or out of its range, or an estimator comes
            with options.
    """
    return ESTIMATORS.get(estimator, options)


def check_density(estimator: str, noise: Noise) -> None:
    """Check that the density of a noise can serve as a derivative.

    Raises:
        UsageError: If the density is 0 on all of [-1, 1], negative, or not finite.
    """
    # Numbers are needed, also where a network is made under `torch.device("meta")`.
    density = noise.pdf(torch.linspace(-1, 1, 101, device="cpu"))
    if not (density.isfinite().all() and (density >= 0).all() and density.any()):
        raise UsageError(
            f"expected a noise with a density for {estimator}, whose gradient is made of it, got "
            f"{noise.name!r}, whose pdf is not one; correct it, or use clipped-identity"
        )
