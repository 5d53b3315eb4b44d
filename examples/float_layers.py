"""Layers that were meant to be binary and stayed float: what the report says, and the fix.

python examples/float_layers.py [CASE ...]

Each case is a small network with one mistake. It is exported, its report is printed, and the same
for the network with the mistake mended. Nothing is trained: the report depends on the layers only.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import bnnkit.nn as bnn
from bnnkit.data import load
from bnnkit.export import export_onnx

CHANNELS = 16
DIGITS = load("digits")


def network(*middle: nn.Module) -> nn.Sequential:
    """A first layer of integers, the layers in question, and a real-valued last layer."""
    first = bnn.IntegerConv2d(1, CHANNELS, 3, padding=1, zero_point=DIGITS.zero_point or [0])
    head = [first, nn.BatchNorm2d(CHANNELS)]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10)]
    return nn.Sequential(*head, *middle, *tail)


def binary_conv(scale: str = "none") -> nn.Module:
    return bnn.BinaryConv2d(CHANNELS, CHANNELS, 3, padding=1, scale=scale)


def norm() -> nn.Module:
    return nn.BatchNorm2d(CHANNELS)


class ScaledWeights(nn.Module):
    """Binary weights times a scale of each channel, as in XNOR-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, bias=False)
        parametrize.register_parametrization(self.conv, "weight", bnn.BinaryWeight("none"))
        self.scale = nn.Parameter(torch.rand(CHANNELS, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.conv.weight * self.scale, padding=1)


class OwnSigns(nn.Module):
    """Signs in torch's own functions, with the straight-through trick."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CHANNELS, CHANNELS, 3, 3))

    @staticmethod
    def sign(x: Tensor) -> Tensor:
        return x + (torch.where(x >= 0, 1.0, -1.0) - x).detach()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(self.sign(x), self.sign(self.weight), padding=1)


class Joined(nn.Module):
    """Two branches of signs, which are added before the next layer."""

    def __init__(self, after: nn.Module) -> None:
        super().__init__()
        self.left, self.right = bnn.Sign(), nn.Sequential(norm(), bnn.Sign())
        self.after, self.conv = after, binary_conv()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.after(self.left(x) + self.right(x)))


class Reused(nn.Module):
    """One layer that is called twice, the second time on real values."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.sign, self.between, self.conv = bnn.Sign(), between, binary_conv()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.between(self.conv(self.sign(x))))


def by_preset(layer: Callable[[], nn.Module]) -> nn.Module:
    """A network of convolution, batch norm and ReLU that the preset makes binary."""
    pointwise = nn.Conv2d(CHANNELS, CHANNELS, 1)
    model = network(nn.ReLU(), layer(), norm(), nn.ReLU(), pointwise, norm())
    for name, reason in bnn.real_layers(model).items():
        print(f"    real_layers: {name}: {reason}")
    return bnn.binarize_(model, preset="conv-bn-relu")


class Case(NamedTuple):
    about: str
    broken: Callable[[], nn.Module]
    mended: Callable[[], nn.Module]


CASES = {
    "not-named": Case(
        "a layer of torch behind a sign; name it in binarize_, or use a binary layer",
        lambda: network(bnn.Sign(), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), norm()),
        lambda: network(bnn.Sign(), binary_conv(), norm()),
    ),
    "no-sign": Case(
        "an activation that is not a sign; a Sign takes its place",
        lambda: network(nn.Hardtanh(), binary_conv(), norm()),
        lambda: network(bnn.Sign(), binary_conv(), norm()),
    ),
    "norm-after-sign": Case(
        "a batch norm between the sign and the layer; it belongs before the sign",
        lambda: network(bnn.Sign(), norm(), binary_conv(), norm()),
        lambda: network(norm(), bnn.Sign(), binary_conv(), norm()),
    ),
    "pool-after-sign": Case(
        "a mean of signs is no sign; pool before the sign",
        lambda: network(bnn.Sign(), nn.AvgPool2d(2), binary_conv(), norm()),
        lambda: network(nn.AvgPool2d(2), bnn.Sign(), binary_conv(), norm()),
    ),
    "scaled-weights": Case(
        "a scale inside the weights; the layer has one for its output, and so has a batch norm",
        lambda: network(bnn.Sign(), ScaledWeights(), norm()),
        lambda: network(bnn.Sign(), binary_conv(scale="learned"), norm()),
    ),
    "own-signs": Case(
        "signs and weights of your own; Sign and BinaryConv2d carry the marks of the exporter",
        lambda: network(OwnSigns(), norm()),
        lambda: network(bnn.Sign(), binary_conv(), norm()),
    ),
    "joined": Case(
        "a sum of two signs is -2, 0 or 2; a Sign behind the sum",
        lambda: network(Joined(nn.Identity()), norm()),
        lambda: network(Joined(bnn.Sign()), norm()),
    ),
    "reused": Case(
        "a layer called twice, the second time on real values; a Sign before each call",
        lambda: network(Reused(norm()), norm()),
        lambda: network(Reused(nn.Sequential(norm(), bnn.Sign())), norm()),
    ),
    "depthwise": Case(
        "the preset leaves depthwise layers real-valued",
        lambda: by_preset(lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS)),
        lambda: by_preset(lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)),
    ),
}


def print_report(model: nn.Module, folder: Path) -> None:
    x = torch.from_numpy(DIGITS.x_train[:1])
    report = export_onnx(model.eval(), x, folder / "case.onnx")
    for layer in report.layers[1:-1]:  # without the first and the last one
        print(f"    {layer.name:12} {layer.kind:8} {layer.reason}")
    for sign in report.signs:
        kind = "threshold" if sign.is_threshold else "real"
        print(f"    {sign.name:12} {kind:8} {sign.reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Layers that stayed float, and the fixes.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(CASES)}")
    chosen = parser.parse_args().cases or list(CASES)
    warnings.simplefilter("ignore")  # the report says the same
    with TemporaryDirectory() as folder:
        for name in chosen:
            case = CASES[name]
            torch.manual_seed(0)
            print(f"{name}: {case.about}")
            print("  broken:")
            print_report(case.broken(), Path(folder))
            print("  mended:")
            print_report(case.mended(), Path(folder))


if __name__ == "__main__":
    main()
