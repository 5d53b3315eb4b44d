"""The exponential moving average of a network's weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import expm1, log1p

import torch
from torch import Tensor, nn


class Ema:
    """The average of all trained parameters over the steps of a run, newer ones weighted more.

    After t steps the weights of step i have the share (1 - d) d^(t - i) / (1 - d^t), so the
    initial weights have none. Latent weights are averaged as the others are; the sign of their
    average is a vote of the last steps, in which a weight that goes back and forth around zero
    has the sign of its mean. Statistics of batch norms are not weights: they do not fit the
    averaged network and must be re-estimated.

    Attributes:
        sums: The sum of the weights of all steps by the parameter's name, each times
            (1 - d) d^(t - i); a run saves and restores them.

    Args:
        network: The network, on its device.
        decay: d, in (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._share = network, 1 - decay
        parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self._parameters: list[Tensor] = list(parameters.values())
        self.sums: dict[str, Tensor] = {
            name: torch.zeros_like(p, requires_grad=False) for name, p in parameters.items()
        }
        self._sums = list(self.sums.values())

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights after a step; it can be recorded, since nothing in it changes."""
        torch._foreach_lerp_(self._sums, self._parameters, self._share)

    @torch.no_grad()
    def write_to_network(self, steps: int) -> None:
        """Replace the network's weights by their average.

        Args:
            steps: Number of updates so far, at least 1.
        """
        total = -expm1(steps * log1p(-self._share))
        for parameter, weighted in zip(self._parameters, self._sums, strict=True):
            parameter.copy_(weighted / total)

    @contextmanager
    def in_network(self, steps: int) -> Iterator[None]:
        """Give the network its averaged weights; afterwards restore it, with its statistics.

        Args:
            steps: As for `write_to_network`.
        """
        kept = {name: tensor.clone() for name, tensor in self._network.state_dict().items()}
        self.write_to_network(steps)
        try:
            yield
        finally:
            self._network.load_state_dict(kept)
