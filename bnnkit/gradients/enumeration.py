"""The true gradient by enumeration of all values of the signs."""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.gradients.objective import Batch, Objective
from bnnkit.gradients.true_gradient import TrueGradient
from bnnkit.nn.sign import Sign

MOST_UNITS = 20


def exact_gradient(objective: Objective[Batch], batch: Batch) -> TrueGradient:
    r"""The gradient of $\mathbb{E}[L] = \sum_x P(x) L(x)$ over all states x, at any depth.

    $P(x)$ is the product of $F(ax)$ over the units, where a depends on the signs of lower layers.
    All examples of the batch are in the same state at once, so there are $2^n$ passes for n units.

    Args:
        objective: The network and its loss, with n units an example in all calls of signs.
        batch: The examples.

    Raises:
        UsageError: If n is more than 20.
    """
    with torch.no_grad():
        calls = objective.inputs(batch)
    shapes = [a.shape[1:] for _, a in calls]
    n_units = sum(shape.numel() for shape in shapes)
    if n_units > MOST_UNITS:
        raise UsageError(
            f"expected at most {MOST_UNITS} stochastic units an example for an enumeration, got "
            f"{n_units}, which have 2^{n_units} states; use sampled_gradient"
        )
    gradient = 0.0 * torch.cat([p.detach().flatten() for p in objective.parameters])
    for state in product((-1.0, 1.0), repeat=n_units):
        gradient += objective.gradient(_weighted_loss(objective, batch, state, shapes))
    return TrueGradient(value=gradient, variance=0.0, method="enumeration", samples=2**n_units)


def _weighted_loss(
    objective: Objective[Batch], batch: Batch, state: tuple[float, ...], shapes: list[torch.Size]
) -> Tensor:
    """P(x) L(x) for a state x, the mean over the examples."""
    values = _split(state, shapes)
    factors: list[Tensor] = []

    def choose(sign: Sign, a: Tensor) -> Tensor:
        x = next(values).to(a).expand_as(a)
        # Not the exponential of a sum of logarithms: F may be 0, and its derivative counts then.
        factors.append(sign.noise.cdf(a * x).flatten(1).prod(1))
        return x

    with objective.choosing(choose):
        losses = objective.losses(batch)
    return (torch.stack(factors).prod(0) * losses).mean()


def _split(state: tuple[float, ...], shapes: list[torch.Size]) -> Iterator[Tensor]:
    start = 0
    for shape in shapes:
        end = start + shape.numel()
        yield torch.tensor(state[start:end], dtype=torch.float64).view(shape)
        start = end
