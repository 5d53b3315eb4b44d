"""An example of each layer of `bnnkit.nn`, with an input of it, for tests of all layers."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.nn.weight_rules.weight_rule import WEIGHT_RULES


def signs(*shape: int) -> Tensor:
    return real(*shape).sign()


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def images(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


def _by_rule(rule: str) -> Callable[[], nn.Module]:
    return lambda: bnn.BinaryLinear(6, 4, weight_rule=rule)


def _binarized() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False))
    bnn.binarize_(network, ["0"], noise="logistic")
    return network


LAYERS: Final[dict[str, tuple[Callable[[], nn.Module], Tensor]]] = {
    "Sign": (bnn.Sign, real(3, 4, 5, 5)),
    "Sign, zgr": (lambda: bnn.Sign(estimator="zgr"), real(3, 4, 5, 5)),
    "Quantize": (bnn.Quantize, real(3, 4, 5, 5)),
    "Quantize, learned": (
        lambda: bnn.Quantize(3, signed=False, learned=True, estimator="st"),
        real(3, 4, 5, 5),
    ),
    "BinaryLinear": (lambda: bnn.BinaryLinear(6, 4, bias=True, scale="learned"), signs(3, 6)),
    "BinaryLinear, mean-abs": (lambda: bnn.BinaryLinear(6, 4, scale="mean-abs"), signs(3, 6)),
    "BinaryConv1d": (lambda: bnn.BinaryConv1d(3, 4, 3, padding=1), signs(2, 3, 7)),
    "BinaryConv2d": (lambda: bnn.BinaryConv2d(3, 4, 3, padding=1, bias=True), signs(2, 3, 6, 6)),
    "BinaryConv3d": (lambda: bnn.BinaryConv3d(3, 4, 3, padding=1), signs(2, 3, 4, 4, 4)),
    "BinaryConvTranspose1d": (lambda: bnn.BinaryConvTranspose1d(3, 4, 3), signs(2, 3, 7)),
    "BinaryConvTranspose2d": (
        lambda: bnn.BinaryConvTranspose2d(3, 4, 2, stride=2, bias=True),
        signs(2, 3, 4, 4),
    ),
    "IntegerConv2d": (
        lambda: bnn.IntegerConv2d(3, 4, 3, padding=1, zero_point=[1, 2, 3]),
        images(2, 3, 6, 6),
    ),
    "IntegerLinear": (lambda: bnn.IntegerLinear(6, 4, zero_point=9), images(2, 6)),
    "binarize_": (_binarized, real(2, 3, 6, 6)),
    **{f"rule {name}": (_by_rule(name), signs(3, 6)) for name in WEIGHT_RULES.names},
}
"""By name: how to make a layer, and an input."""
