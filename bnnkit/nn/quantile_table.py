"""The table of quantiles of a noise, so that engines need not evaluate a logarithm."""

from functools import lru_cache

import torch
from torch import Tensor

from bnnkit.artifact.format.sample import TABLE_SIZE
from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise


def quantile_table(noise: Noise) -> Tensor:
    """Compute the quantiles of a noise at the midpoints of 4096 equal parts of (0, 1).

    Entry i is F^-1((i + 1/2) / 4096), computed in float64 and rounded to float32. Files store this
    table, and every engine draws noise from it (docs/artifact.md, Sampling).

    Args:
        noise: Any noise except "none".

    Returns:
        float32 (4096,), on the CPU; finite, never decreasing.

    Raises:
        UsageError: If the quantiles of a user's noise are not finite, or decrease.
    """
    p = (torch.arange(TABLE_SIZE, dtype=torch.float64) + 0.5) / TABLE_SIZE
    table = noise.quantile(p).to(torch.float32)
    if not (table.shape == p.shape and table.isfinite().all() and (table.diff() >= 0).all()):
        raise UsageError(
            f"expected {TABLE_SIZE} finite quantiles that do not decrease from the noise "
            f"{noise.name!r}; correct its `quantile`"
        )
    return table


@lru_cache(maxsize=256)
def table_on(noise: Noise, device: torch.device) -> Tensor:
    """Return the table of a noise on a device, computed once."""
    return quantile_table(noise).to(device)
