"""Connects the signs of a network to the layers before them, for the estimator PSA."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from bnnkit.errors import UsageError
from bnnkit.nn.binary_layers import BinaryConv2d, BinaryLinear
from bnnkit.nn.estimators.psa import Inflow, Psa
from bnnkit.nn.sign import Sign


def connect_psa(model: nn.Module) -> None:
    """Give each sign with the estimator psa the layer that its input comes from.

    Such a sign follows, in one `torch.nn.Sequential`, a `BinaryLinear` or `BinaryConv2d` with a
    batch norm between them or none. The first sign of a network follows any other layer that has
    parameters. Signs that are connected already stay so; a network without psa is not changed.

    Args:
        model: The whole network.

    Raises:
        UsageError: Something else is between a binary layer and a sign, such as pooling or a skip
            connection; the message names the sign.
    """
    for name, sign in model.named_modules():
        if isinstance(sign, Sign) and isinstance(sign.estimator, Psa):
            layer, norm = _before(model, name)
            sign.estimator = Psa.connected(
                _Chain(layer, norm) if isinstance(layer, BinaryLinear | BinaryConv2d) else _Start()
            )


def _before(model: nn.Module, name: str) -> tuple[nn.Module, _BatchNorm | None]:
    """The layer before a sign, and the batch norm between them."""
    parent, _, index = name.rpartition(".")
    sequence = model.get_submodule(parent)
    if not isinstance(sequence, nn.Sequential):
        raise _refusal(name, f"a part of {type(sequence).__name__}")
    before = list(sequence)[: list(sequence._modules).index(index)]
    last = before[-1] if before else None
    norm = last if isinstance(last, _BatchNorm) else None
    before = before[:-1] if norm else before
    layer = before[-1] if before else None
    if isinstance(layer, BinaryLinear | BinaryConv2d):
        return layer, norm
    has_signs_before = any(isinstance(m, Sign) for part in before for m in part.modules())
    if layer is None or has_signs_before or not any(True for _ in layer.parameters()):
        raise _refusal(name, "nothing" if layer is None else f"a {type(layer).__name__}")
    return layer, norm


def _refusal(name: str, found: str) -> UsageError:
    return UsageError(
        f"expected a binary layer, or it and a batch norm, directly before the sign {name!r} for "
        f"the estimator psa, got {found}; use st or zgr, or the model mlp"
    )


class _Start:
    """Of the first sign, before which there is none."""

    def take(self) -> None:
        """Nothing."""


class _Chain:
    """Watches a binary layer and its batch norm, and cuts the gradient that goes through them."""

    def __init__(self, layer: BinaryLinear | BinaryConv2d, norm: _BatchNorm | None) -> None:
        self._layer, self._norm = layer, norm
        self._x: Tensor | None = None
        self._w: Tensor | None = None
        self._sums: Tensor | None = None
        layer.register_forward_pre_hook(self._keep_input)
        layer.binary_weight.register_forward_hook(self._keep_weight)
        layer.register_forward_hook(self._keep_sums)

    def take(self) -> Inflow | None:
        """The inflow of this pass, once."""
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
        if isinstance(self._layer, BinaryConv2d):
            return self._layer.geometry.convolve(x, w)
        return functional.linear(x, w)

    def _slope(self, sums: Tensor) -> Tensor:
        """What a channel's integer sums are multiplied with."""
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
    """What a batch norm multiplies each channel of x with, in this pass."""
    variance = norm.running_var
    if norm.training or variance is None:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        variance = x.float().var(axes, correction=0)
    scale = (variance + norm.eps).rsqrt()
    return scale if norm.weight is None else scale * norm.weight.detach()
