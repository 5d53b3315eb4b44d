"""Weight rules that change while a network is trained."""

import torch
from torch import Tensor

from bnnkit.nn.weight_rules.weight_rule import WeightRule


class ScheduledRule(WeightRule):
    """A rule with a schedule over the training, which `set_progress` advances.

    Attributes:
        progress: The completed fraction of the training, float32 (), from 0 to 1. It is not saved:
            the training loop knows it, and deployed weights do not depend on it.
    """

    progress: Tensor

    def __init__(self) -> None:
        super().__init__()
        # A tensor, so that a compiled or captured step reads its current value.
        self.register_buffer("progress", torch.zeros(()), persistent=False)


def geometric(first: float, last: float, share: Tensor) -> Tensor:
    """Interpolate geometrically from `first` to `last` as `share` goes from 0 to 1."""
    return first * (last / first) ** share.clamp(max=1)
