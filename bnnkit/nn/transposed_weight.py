"""Binary weights of transposed convolutions, whose output channels are on the second axis."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.weight_rules import WeightRule


class TransposedBinaryWeight(BinaryWeight):
    """`BinaryWeight` for latent weights (I, O/G, ...), as torch's transposed convolutions have.

    Rules take and give (O, I/G, ...), so that those that work per output channel, such as
    `standardised`, do so here too. Buffers of a rule have these axes.

    Args:
        groups: G.
        noise: As for `BinaryWeight`.
        rule: As for `BinaryWeight`.
        options: As for `BinaryWeight`.
    """

    def __init__(
        self,
        groups: int,
        noise: str | Noise | None = None,
        rule: str | WeightRule = "mirror-descent",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(noise, rule, options)
        self.groups = groups

    def outputs_first(self, weight: Tensor) -> Tensor:
        """Return (O, I/G, ...) for (I, O/G, ...)."""
        return _exchanged(weight, self.groups)

    def outputs_back(self, weight: Tensor) -> Tensor:
        """Return (I, O/G, ...) for (O, I/G, ...)."""
        return _exchanged(weight, self.groups)

    @torch.no_grad()
    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """Complete an update in place, after the optimizer changed the latent weights."""
        ordered = self.outputs_first(latent).clone()  # with groups, no view has these axes
        self.rule.after_step(ordered, lr)
        latent.copy_(self.outputs_back(ordered))


def _exchanged(weight: Tensor, groups: int) -> Tensor:
    """Exchange the channels of inputs and outputs within each group; its own inverse."""
    by_group = weight.reshape(groups, -1, *weight.shape[1:])
    return by_group.transpose(1, 2).flatten(0, 1)
