"""Connects the signs of a network to the layers before them, for the estimator PSA."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from bnnkit.errors import UsageError
from bnnkit.nn.binary_layers import BinaryConvolution, BinaryLinear
from bnnkit.nn.estimators.psa import Inflow, Psa
from bnnkit.nn.sign import Sign


def connect_psa(model: nn.Module) -> None:
    """Connect each sign with the estimator psa to the layer that computes its input.

    Such a sign must follow a `BinaryLinear` or `BinaryConv2d` in the same `torch.nn.Sequential`,
    directly or after a batch norm. The first sign of a network may follow any other layer with
    parameters. Connecting twice has no effect; a network without psa is not changed.

    Args:
        model: The whole network.

    Raises:
        UsageError: If something else is between a binary layer and a sign, such as pooling or a
            skip connection; the message names the sign.
    """
    for name, sign in model.named_modules():
        if isinstance(sign, Sign) and isinstance(sign.estimator, Psa):
            layer, norm = _before(model, name)
            sign.estimator = Psa.connected(
                _Chain(layer, norm)
                if isinstance(layer, BinaryLinear | BinaryConvolution)
                else _Start()
            )


def _before(model: nn.Module, name: str) -> tuple[nn.Module, _BatchNorm | None]:
    """Return the layer before a sign, and the batch norm between them."""
    parent, _, index = name.rpartition(".")
    sequence = model.get_submodule(parent)
    if not isinstance(sequence, nn.Sequential):
        raise _connection_error(name, f"a part of {type(sequence).__name__}")
    before = list(sequence)[: list(sequence._modules).index(index)]
    last = before[-1] if before else None
    norm = last if isinstance(last, _BatchNorm) else None
    before = before[:-1] if norm else before
    layer = before[-1] if before else None
    if isinstance(layer, BinaryLinear | BinaryConvolution):
        return layer, norm
    has_signs_before = any(isinstance(m, Sign) for part in before for m in part.modules())
    if layer is None or has_signs_before or not any(True for _ in layer.parameters()):
        raise _connection_error(name, "nothing" if layer is None else f"a {type(layer).__name__}")
    return layer, norm


def _connection_error(name: str, found: str) -> UsageError:
    return UsageError(
        f"expected a binary layer, or it and a batch norm, directly before the sign {name!r} for "
        f"the estimator psa, got {found}; use st or zgr, or the model mlp"
    )


class _Start:
    """The source of the first sign, which has no signs before it."""

    def take(self) -> None:
        """Return None: there is no gradient to pass to earlier signs."""


class _Chain:
    """Records a binary layer and its batch norm, and stops the gradient through them."""

    def __init__(self, layer: BinaryLinear | BinaryConvolution, norm: _BatchNorm | None) -> None:
        self._layer, self._norm = layer, norm
        self._x: Tensor | None = None
        self._w: Tensor | None = None
        self._sums: Tensor | None = None
        layer.register_forward_pre_hook(self._keep_input)
        layer.binary_weight.register_forward_hook(self._keep_weight)
        layer.register_forward_hook(self._keep_sums)

    def take(self) -> Inflow | None:
        """Return the inflow of this pass, and forget it."""
        x, w, sums = self._x, self._w, self._sums
        self._x = self._w = self._sums = None
        if x is None or w is None or sums is None:
            return None
        if isinstance(self._layer, BinaryLinear) and x.dim() != 2:
            raise UsageError(
                f"expected inputs (N, I) of a BinaryLinear with the estimator psa, got shape "
                f"{tuple(x.shape)}; use zgr"
            )
        return Inflow(x, w, self._slope(sums), self._linear)

    def _linear(self, x: Tensor, w: Tensor) -> Tensor:
        if isinstance(self._layer, BinaryConvolution):
            return self._layer.geometry.convolve(x, w)
        return functional.linear(x, w)

    def _slope(self, sums: Tensor) -> Tensor:
        """Return the factor of the integer sums of each channel."""
        scale, norm = self._layer.scale, self._norm
        slope = torch.ones_like(sums[0].flatten(1)[:, 0] if sums.dim() > 2 else sums[0])
        if scale is not None:
            slope = slope * scale.value.detach()
        return slope if norm is None else slope * _norm_slope(norm, sums)

    def _keep_input(self, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        x = inputs[0]
        if not (torch.is_grad_enabled() and x.requires_grad):
            self._x = None
            return None
        self._x = x
        return (x.detach(), *inputs[1:])

    def _keep_weight(self, module: nn.Module, inputs: tuple[Any, ...], weight: Tensor) -> None:
        self._w = weight.detach() if torch.is_grad_enabled() else None

    def _keep_sums(self, module: nn.Module, inputs: tuple[Any, ...], sums: Tensor) -> None:
        self._sums = sums.detach() if torch.is_grad_enabled() else None


def _norm_slope(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Return the factor of a batch norm for each channel of x, in this pass."""
    variance = norm.running_var
    if norm.training or variance is None:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        variance = x.float().var(axes, correction=0)
    scale = (variance + norm.eps).rsqrt()
    return scale if norm.weight is None else scale * norm.weight.detach()
