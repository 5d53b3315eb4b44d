"""The average of the gradients over the processes of a run."""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn


class GradientAverage:
    """Replaces the gradients of a network by their average over all processes.

    All of them travel in one buffer, in one operation after the backward pass. A compiled backward
    pass hands out its gradients at its end, so that sending parts earlier would gain nothing; and
    the operation can be recorded in a CUDA graph.

    Args:
        parameters: The trained parameters, the same in every process.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._with_gradient: list[nn.Parameter] = []
        self._buffers: list[Tensor] = []
        self._averages: list[Tensor] = []

    @torch.no_grad()
    def __call__(self) -> None:
        """Average the gradients of the parameters that have one, in every process the same."""
        found = [parameter for parameter in self._parameters if parameter.grad is not None]
        if [id(p) for p in found] != [id(p) for p in self._with_gradient]:
            self._allocate(found)
        gradients = [parameter.grad for parameter in found if parameter.grad is not None]
        torch._foreach_copy_(self._averages, gradients)
        for buffer in self._buffers:
            distributed.all_reduce(buffer)
            buffer.div_(distributed.get_world_size())
        for parameter, average in zip(found, self._averages, strict=True):
            parameter.grad = average

    def _allocate(self, parameters: list[nn.Parameter]) -> None:
        """Make a buffer for each dtype, and in it a place with the strides of each parameter."""
        self._with_gradient, self._buffers = parameters, []
        place_of: dict[int, Tensor] = {}
        for dtype in dict.fromkeys(parameter.dtype for parameter in parameters):
            members = [parameter for parameter in parameters if parameter.dtype == dtype]
            buffer = members[0].new_zeros(sum(p.numel() for p in members), requires_grad=False)
            parts = torch.split(buffer, [parameter.numel() for parameter in members])
            for parameter, part in zip(members, parts, strict=True):
                place_of[id(parameter)] = part.as_strided(parameter.shape, parameter.stride())
            self._buffers.append(buffer)
        self._averages = [place_of[id(parameter)] for parameter in parameters]
