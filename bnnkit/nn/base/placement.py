"""The arguments `device` and `dtype` of layers, as torch's own layers have them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from bnnkit.errors import UsageError

Device = torch.device | str | int | None
"""Where the tensors of a layer are made; None is torch's default device."""


@contextmanager
def made_on(device: Device) -> Iterator[None]:
    """Make the tensors of the block on a device."""
    if device is None:
        yield
        return
    with torch.device(device):
        yield


def convert(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Convert the real-valued parameters and buffers of a layer; None leaves them.

    Raises:
        UsageError: If the dtype is not a floating-point one.
    """
    if dtype is None:
        return
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise UsageError(f"expected a floating-point dtype, such as torch.float32, got {dtype!r}")
    module.to(dtype)
