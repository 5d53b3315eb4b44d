"""A network whose inputs and outputs have their own units, and inside mean 0 and variance 1."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Standardized(nn.Module):
    """Computes network((x - mean) / scale) * output_scale + output_mean.

    The means and scales are buffers, so they are stored with the weights and exported with the
    network. They are 0 and 1 until they are filled in.

    Input: float32 (N, *input_shape). Output: (N, n_outputs).

    Attributes:
        network: The network inside.
        mean: The mean of each channel, or of each of F features, (C, 1, ...) or (F,); None if
            inputs stay as they are.
        scale: Their standard deviation, of the same shape.
        output_mean: The mean of each output, (n_outputs,); None if outputs stay as they are.
        output_scale: Their standard deviation.

    Args:
        network: The network.
        input_shape: The shape of one input, channels first.
        n_outputs: The number of outputs.
        of_inputs: Whether inputs are standardised.
        of_outputs: Whether outputs are.
    """

    mean: Tensor | None
    scale: Tensor | None
    output_mean: Tensor | None
    output_scale: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        input_shape: Sequence[int],
        n_outputs: int,
        *,
        of_inputs: bool,
        of_outputs: bool,
    ) -> None:
        super().__init__()
        self.network = network
        axes = (input_shape[0], *[1] * (len(input_shape) - 1))
        for name, shape, is_used in (("", axes, of_inputs), ("output_", (n_outputs,), of_outputs)):
            self.register_buffer(f"{name}mean", torch.zeros(shape) if is_used else None)
            self.register_buffer(f"{name}scale", torch.ones(shape) if is_used else None)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the outputs in their own units."""
        if self.mean is not None and self.scale is not None:
            x = (x - self.mean) / self.scale
        outputs: Tensor = self.network(x)
        if self.output_mean is not None and self.output_scale is not None:
            outputs = outputs * self.output_scale + self.output_mean
        return outputs
