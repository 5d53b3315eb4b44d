"""Weight rules that change while a network is trained."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

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

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the buffer; one that leaves the device "meta", where it had no value, is 0."""
        had_no_value = self.progress.is_meta
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if had_no_value and not self.progress.is_meta:
            self.progress.zero_()
        return self

    def _load_from_state_dict(self, *args: Any) -> None:
        """Make a buffer on "meta" 0: it is not saved, so `assign=True` leaves it there."""
        super()._load_from_state_dict(*args)
        if self.progress.is_meta:
            self.progress = torch.zeros(())


def geometric(first: float, last: float, share: Tensor) -> Tensor:
    """Interpolate geometrically from `first` to `last` as `share` goes from 0 to 1."""
    return first * (last / first) ** share.clamp(max=1)
