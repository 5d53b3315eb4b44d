"""One estimate of the gradient by an estimator."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.gradients.objective import Batch, Objective
from bnnkit.nn import estimators
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.estimators import Estimator, get_estimator
from bnnkit.nn.sign import Sign


class WithLoss(Protocol):
    """A function as `bnnkit.nn.estimators.arm`, for one stochastic layer."""

    def __call__(self, loss: Callable[[Tensor], Tensor], a: Tensor, *, noise: Noise) -> Tensor:
        """Return losses (N,) whose gradient in a is the estimate."""


Candidate = str | Estimator | WithLoss
"""An estimator of layers, a function that takes the loss, or the name of one."""

_WITH_LOSS: dict[str, WithLoss] = {
    "reinforce": estimators.reinforce,
    "arm": estimators.arm,
    "disarm": estimators.disarm,
    "local-expectations": estimators.local_expectations,
}


def estimate(
    objective: Objective[Batch], batch: Batch, estimator: Candidate | None = None
) -> Tensor:
    """Compute one estimate of the gradient, flattened, (P,).

    Args:
        objective: The network and its loss.
        batch: The examples.
        estimator: The estimator of all signs with noise; None leaves each its own. To measure
            "psa", connect the model with `bnnkit.nn.connect_psa` and pass None.

    Raises:
        UsageError: If the estimator is unknown, does not work with a noise, or takes the loss
            and the network has several stochastic layers.
    """
    candidate = _WITH_LOSS.get(estimator, estimator) if isinstance(estimator, str) else estimator
    if candidate is None:
        return objective.gradient(objective.losses(batch).mean())
    if isinstance(candidate, str | Estimator):
        with _using(objective.signs, get_estimator(candidate)):
            return objective.gradient(objective.losses(batch).mean())
    sign, a, loss = loss_of_signs(str(estimator), objective, batch)
    return objective.gradient(candidate(loss, a, noise=sign.noise).mean())


def loss_of_signs(
    name: str, objective: Objective[Batch], batch: Batch
) -> tuple[Sign, Tensor, Callable[[Tensor], Tensor]]:
    """Return the only stochastic sign, its input a, and the losses (N,) as a function of signs.

    Raises:
        UsageError: If the network calls several stochastic signs.
    """
    calls = objective.inputs(batch)
    if len(calls) != 1:
        raise UsageError(
            f"expected one stochastic layer for {name}, which takes the loss, got {len(calls)} "
            "calls of signs with noise; use an estimator of layers, such as st or zgr"
        )
    sign, a = calls[0]

    def loss(x: Tensor) -> Tensor:
        with objective.choosing(lambda sign, a: x):
            return objective.losses(batch)

    return sign, a, loss


@contextmanager
def _using(signs: list[Sign], estimator: Estimator) -> Iterator[None]:
    own = [sign.estimator for sign in signs]
    try:
        for sign in signs:
            estimator.check(sign.noise)
            sign.estimator = estimator
        yield
    finally:
        for sign, before in zip(signs, own, strict=True):
            sign.estimator = before
