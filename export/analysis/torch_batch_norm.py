"""Batch norm as torch's own kernel evaluates it, and its parameters.

On processors with fused multiply-adds (any x86 with AVX2) torch's kernel computes
fma(x, alpha, beta) with alpha = weight / sqrt(variance + eps) and
beta = fma(-mean, alpha, bias); elsewhere each operation is rounded once. So the last bit and a
sign exactly at a threshold depend on the processor. The artifact holds what torch computes on the
machine that exports. All this is for contiguous and channels-last inputs; for other strides,
which no layer's output has, torch uses another kernel with another formula.
"""

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import array, label

Parameters = tuple[Tensor, Tensor, Tensor, Tensor]
"""Weight, bias, mean and variance, float32 (C,)."""


def parameters_of(node: ir.Node) -> Parameters | None:
    """The parameters of a `BatchNormalization`; None unless all are float32 constants.

    Raises:
        UnsupportedError: It normalises with the statistics of the batch, a parameter is NaN or
            infinite, or a variance is negative.
    """
    statistics = [value for value in node.inputs[3:5] if value is not None]
    if any(array(value) is None and value.producer() is not None for value in statistics):
        raise UnsupportedError(
            f"expected running statistics of {label(node)}, got those of each batch; "
            "train it with track_running_stats=True"
        )
    contents = [content for value in node.inputs[1:5] if (content := array(value)) is not None]
    if len(contents) < 4 or any(content.dtype != np.float32 for content in contents):
        return None
    weight, bias, mean, variance = (torch.from_numpy(np.array(content)) for content in contents)
    finite = all(bool(p.isfinite().all()) for p in (weight, bias, mean, variance))
    if not finite or bool((variance < 0).any()):
        raise UnsupportedError(
            f"expected finite parameters and statistics of {label(node)}, got NaN, an infinity or "
            "a negative variance; the training has diverged"
        )
    return weight, bias, mean, variance


def normalize(node: ir.Node, x: Tensor, parameters: Parameters) -> Tensor:
    """The output of a `BatchNormalization` in torch's evaluation mode.

    Args:
        node: The operator, for its epsilon.
        x: float32 (B, C).
        parameters: The parameters to use.
    """
    weight, bias, mean, variance = parameters
    eps = node.attributes.get_float("epsilon", 1e-5)
    return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)


def direction_of(parameters: Parameters) -> NDArray[np.int8]:
    """The direction of the batch norm, (C,): -1 on channels where it decreases, else +1."""
    return np.where(parameters[0].numpy() < 0, -1, 1).astype(np.int8)


def scale_and_shift(
    node: ir.Node, parameters: Parameters
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The alpha and beta that torch's kernel uses, bit for bit, float32 (C,).

    beta is the output for x = 0. alpha is the output for x = 1 with mean and bias set to 0.

    Raises:
        UnsupportedError: A scale or a shift is not finite.
    """
    weight, _, _, variance = parameters
    one, zero = torch.ones_like(weight), torch.zeros_like(weight)
    alpha = normalize(node, one[None], (weight, zero, zero, variance))[0]
    beta = normalize(node, zero[None], parameters)[0]
    if not bool((alpha.isfinite() & beta.isfinite()).all()):
        raise UnsupportedError(
            f"expected a finite scale of {label(node)}, got an infinite one: a variance is 0 and "
            "eps is too small"
        )
    return alpha.numpy(), beta.numpy()


def exact_scale_and_shift(
    node: ir.Node, parameters: Parameters
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The alpha and beta of the formula in float64, (C,), before any float32 rounding."""
    weight, bias, mean, variance = (p.numpy().astype(np.float64) for p in parameters)
    with np.errstate(divide="ignore", invalid="ignore"):  # `thresholds_of` refuses overflows
        alpha = weight / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
        return alpha, bias - mean * alpha
