"""Reads and replaces the statistics of a network's batch norms."""

from collections.abc import Iterator, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnnkit.artifact.calibration_record import NormStatistics
from bnnkit.errors import ArtifactError


def statistics_of(network: nn.Module) -> dict[str, NormStatistics]:
    """Copy the mean and variance of each batch norm that has them, by path."""
    return {
        path: NormStatistics(mean.float().numpy().copy(), variance.float().numpy().copy())
        for path, mean, variance in _buffers(network)
    }


def with_statistics(network: nn.Module, statistics: Mapping[str, NormStatistics]) -> nn.Module:
    """Copy a network and replace the statistics of its batch norms.

    Args:
        network: The network, on the CPU.
        statistics: The statistics of every batch norm, by path.

    Raises:
        ArtifactError: If the statistics belong to other batch norms, or have another number of
            channels.
    """
    copy = deepcopy(network)
    buffers = {path: (mean, variance) for path, mean, variance in _buffers(copy)}
    if set(statistics) != set(buffers):
        raise ArtifactError(
            f"expected the statistics of the batch norms {', '.join(buffers)} in the calibration"
            f" of the model, got those of {', '.join(statistics)}; export it again"
        )
    for path, norm in statistics.items():
        mean, variance = buffers[path]
        if len(norm.mean) != len(mean):
            raise ArtifactError(
                f"expected statistics of {len(mean)} channels of {path} in the calibration of the"
                f" model, got {len(norm.mean)}; export it again"
            )
        mean.copy_(torch.from_numpy(norm.mean))
        variance.copy_(torch.from_numpy(norm.variance))
    return copy


def _buffers(network: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield path, mean and variance of each batch norm that tracks them."""
    for path, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            mean, variance = module.running_mean, module.running_var
            if mean is not None and variance is not None:
                yield path, mean, variance
