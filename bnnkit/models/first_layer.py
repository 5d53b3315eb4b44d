"""The first layer of a network, which reads the data and is not binary."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from bnnkit.errors import UsageError
from bnnkit.nn import IntegerConv2d, IntegerLinear


def image_shape(input_shape: Sequence[int], *, multiple_of: int = 1) -> tuple[int, int, int]:
    """Check the shape of an image and return it as (C, H, W).

    Raises:
        UsageError: If there are not three axes, or H or W is not a positive multiple of
            `multiple_of`.
    """
    if len(input_shape) != 3:
        raise UsageError(
            f"expected images of shape (C, H, W), got inputs of shape {tuple(input_shape)}; "
            "the model mlp takes any shape"
        )
    channels, height, width = input_shape
    if min(height, width) < 1 or height % multiple_of or width % multiple_of:
        raise UsageError(
            f"expected a height and width that are multiples of {multiple_of}, "
            f"got {height} x {width}; pad or resize the images"
        )
    return channels, height, width


def sequence_shape(input_shape: Sequence[int]) -> tuple[int, int]:
    """Check the shape of a sequence and return it as (C, T).

    Raises:
        UsageError: If there are not two axes, or one is empty.
    """
    if len(input_shape) != 2 or min(input_shape) < 1:
        raise UsageError(
            f"expected sequences of shape (C, T), got inputs of shape {tuple(input_shape)}; for"
            " spectrograms as images (1, T, C), use the model ds-cnn"
        )
    channels, length = input_shape
    return channels, length


def first_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    zero_point: Sequence[int] | None,
    stride: int = 1,
) -> nn.Module:
    """Create a convolution padded by half its kernel: integer if zero points are given, or float.

    Input: (N, I, H, W). Output: (N, O, ceil(H / stride), ceil(W / stride)).
    """
    padding = kernel_size // 2
    if zero_point is None:
        return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
    return IntegerConv2d(
        in_channels, out_channels, kernel_size, stride, padding, zero_point=zero_point
    )


class OneRow(nn.Module):
    """Lets a layer of images compute sequences, as images with one row.

    Input: (N, I, T). Output: (N, O, T').

    Args:
        layer: From (N, I, 1, T) to (N, O, 1, T').
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer."""
        y: Tensor = self.layer(x.unsqueeze(2)).squeeze(2)
        return y


def first_conv1d(
    in_channels: int, out_channels: int, kernel_size: int, *, zero_point: Sequence[int] | None
) -> nn.Module:
    """Create a convolution of sequences, as `first_conv` does of images.

    Input: (N, I, T). Output: (N, O, T).
    """
    padding = kernel_size // 2
    if zero_point is None:
        return nn.Conv1d(in_channels, out_channels, kernel_size, padding=padding, bias=False)
    return OneRow(
        IntegerConv2d(
            in_channels,
            out_channels,
            (1, kernel_size),
            padding=(0, padding),
            zero_point=zero_point,
        )
    )


def first_linear(
    input_shape: Sequence[int], out_features: int, *, zero_point: Sequence[int] | None
) -> nn.Module:
    """Create a linear layer for flattened inputs; zero points are those of axis 0."""
    n_inputs = prod(input_shape)
    if zero_point is None:
        return nn.Linear(n_inputs, out_features, bias=False)
    per_channel = n_inputs // input_shape[0]
    spread = [z for z in zero_point for _ in range(per_channel)]
    return IntegerLinear(n_inputs, out_features, zero_point=spread)


class ToAutocast(nn.Module):
    """Rounds its input to the dtype of autocast if autocast is on.

    The first layer computes in float32 even under autocast, and its values would stay float32
    along skip connections, which halves the speed on a GPU.

    Input: any shape, floating-point. Output: same shape.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the values, rounded under autocast."""
        device = x.device.type
        return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
