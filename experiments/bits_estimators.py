"""The estimators of the autoencoder, for codes b in {0, 1} with logits e = log P(1) / P(0).

The sign x = sign(e / 2 - z) with logistic noise, F(a) = sigmoid(2a), has P(x = +1) = sigmoid(e),
and b = (x + 1) / 2. The derivative of `st` is then db/de = 2F' / 4 = sigmoid(e) sigmoid(-e).
"""

from collections.abc import Callable
from typing import Any

import torch
from experiment_config import Config
from pydantic import Field
from torch import Tensor

import bnnkit.nn as bnn
from bnnkit.errors import ConfigError
from bnnkit.nn import estimators
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.estimators import Estimator, get_estimator

LossOfBits = Callable[[Tensor], Tensor]
"""From codes (M, N, n) to losses (M, N)."""

WITH_LOSS: dict[str, Callable[..., Tensor]] = {
    "arm": estimators.arm,
    "disarm": estimators.disarm,
    "reinforce": estimators.reinforce,
    "local-expectations": estimators.local_expectations,
}


class IdentityOfBits(Estimator):
    """`identity-st` with db/de = 1, as for codes in {0, 1}; for signs it would be 1/4."""

    name = "identity-st"

    def jacobian(self, a: Tensor, noise: Noise) -> float:
        return 4.0


class EstimatorConfig(Config):
    """An estimator by its name in bnnkit.

    Attributes:
        name: Of an estimator of layers, or of a function that takes the loss.
        options: Of the estimator; of functions `samples`.
        trained: Whether networks are trained with it. All are measured.
        most_bits: It is left out with more bits.
    """

    name: str
    options: dict[str, Any] = Field(default={})
    trained: bool = True
    most_bits: int = Field(default=2**20, ge=1)


def losses_with_gradient(config: EstimatorConfig, logits: Tensor, loss: LossOfBits) -> Tensor:
    """Losses (M, N) of sampled codes, whose gradient in the logits (M, N, n) is the estimate.

    With functions that take the loss, the parameters of the loss get no gradient.
    """
    if config.name not in WITH_LOSS:
        return loss(codes(_sign(config)(logits / 2)))

    def losses_without_graph(x: Tensor) -> Tensor:
        with torch.no_grad():
            return loss(codes(x).view(logits.shape)).flatten()

    flat = (logits / 2).flatten(0, 1)
    found = WITH_LOSS[config.name](losses_without_graph, flat, **config.options)
    return found.view(logits.shape[:2])


def training_losses(config: EstimatorConfig, logits: Tensor, loss: LossOfBits) -> Tensor:
    """As `losses_with_gradient`; the parameters of the loss get the gradient of one sample.

    That is so with every estimator, so that estimators differ in the encoder's gradient only.
    """
    losses = losses_with_gradient(config, logits, loss)
    if config.name not in WITH_LOSS:
        return losses
    drawn = loss(codes(bnn.Sign("logistic")(logits.detach() / 2)))
    return drawn + (losses - losses.detach())


def codes(x: Tensor) -> Tensor:
    """B = (x + 1) / 2."""
    return (x + 1) / 2


def check(label: str, config: EstimatorConfig) -> None:
    """Check that the estimator exists.

    Raises:
        ConfigError: If not, or if its options are wrong.
    """
    try:
        if config.name not in WITH_LOSS:
            _sign(config)
    except ValueError as error:
        raise ConfigError(f"estimators.{label}: {error}") from error


def _sign(config: EstimatorConfig) -> bnn.Sign:
    if config.name == "identity-st":
        return bnn.Sign("logistic", IdentityOfBits())
    return bnn.Sign("logistic", get_estimator(config.name, config.options))
