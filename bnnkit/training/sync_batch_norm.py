"""Batch norms that normalise by the statistics of the whole batch, over all processes.

torch's own `SyncBatchNorm` runs on GPUs only and interrupts a compiled network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorms:
    """The batch norms of a network, which may share their statistics among processes.

    Args:
        network: The network. Batch norms with a forward pass of their own stay as they are.
    """

    def __init__(self, network: nn.Module) -> None:
        self._forward_of = {
            module: MethodType(_forward, module)
            for module in network.modules()
            if type(module).forward is _BatchNorm.forward
        }

    @contextmanager
    def synchronised(self) -> Iterator[None]:
        """Normalise by the statistics of the whole batch inside, in training.

        Every process has the same number of examples in its share of the batch.
        """
        for norm, forward in self._forward_of.items():
            norm.__dict__["forward"] = forward
        try:
            yield
        finally:
            for norm in self._forward_of:
                del norm.__dict__["forward"]


class _Gathered(torch.autograd.Function):
    """Stacks the tensors (...) of all processes in the order of their ranks: (processes, ...)."""

    @staticmethod
    def forward(ctx: object, own: Tensor) -> Tensor:
        gathered = own.new_zeros((distributed.get_world_size(), *own.shape))
        gathered[distributed.get_rank()] = own
        distributed.all_reduce(gathered)
        return gathered

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[distributed.get_rank()]


def _forward(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Do what `_BatchNorm.forward` does, with the statistics of all processes.

    Args:
        norm: The batch norm.
        x: Inputs, (B, C, ...), real.
    """
    if not norm.training:
        return _BatchNorm.forward(norm, x)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean, variance = _statistics(wide)
    if norm.track_running_stats:
        _track(norm, mean, variance, distributed.get_world_size() * x.numel() // x.shape[1])
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shape = (1, -1, *[1] * (x.dim() - 2))
    y = (wide - mean.view(shape)) * scale.view(shape)
    if norm.bias is not None:
        y = y + norm.bias.view(shape)
    return y.to(x.dtype)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of each channel over all processes, (C,)."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    own_variance, own_mean = torch.var_mean(x, axes, correction=0)
    means, variances = _gathered(torch.stack([own_mean, own_variance])).unbind(1)
    mean = means.mean(0)
    return mean, (variances + (means - mean).square()).mean(0)


def _gathered(own: Tensor) -> Tensor:
    found: Tensor = _Gathered.apply(own)  # type: ignore[no-untyped-call]
    return found


@torch.no_grad()
def _track(norm: _BatchNorm, mean: Tensor, variance: Tensor, n: int) -> None:
    """Move the running statistics towards those of a batch with n values per channel."""
    assert norm.num_batches_tracked is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.num_batches_tracked.add_(1)
    share: float | Tensor = (
        norm.num_batches_tracked.float().reciprocal() if norm.momentum is None else norm.momentum
    )
    norm.running_mean.lerp_(mean.detach(), share)
    norm.running_var.lerp_(variance.detach() * (n / (n - 1)), share)
