"""Binary networks as their authors write them: plain torch, without any layer of bnnkit.

Signs and binary weights have straight-through gradients, in the two forms that are common: a
function of autograd, and arithmetic with detached tensors, which the exported graph keeps.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS = ((2, 1), (4, 2), (4, 1), (8, 2))
"""Output channels in units of the width, and strides: the first of MobileNet's 13 blocks."""
Signs = Callable[[Tensor], Tensor]


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        signs: Tensor = torch.sign(x)
        return signs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        passed: Tensor = gradient * (x.abs() <= 1)
        return passed


def straight_through(x: Tensor) -> Tensor:
    y: Tensor = StraightThrough.apply(x)  # type: ignore[no-untyped-call]
    return y


def polynomial(x: Tensor) -> Tensor:
    """The sign, with the gradient of Bi-Real Net's piecewise polynomial."""
    below, negative, positive = ((x < t).to(torch.float32) for t in (-1, 0, 1))
    first = -1 * below + (x * x + 2 * x) * (1 - below)
    second = first * negative + (-x * x + 2 * x) * (1 - negative)
    third = second * positive + 1 * (1 - positive)
    return torch.sign(x).detach() - third.detach() + third


def clamped(x: Tensor) -> Tensor:
    """The sign, with the gradient of a clamp."""
    near = x.clamp(-1.5, 1.5)
    return (x.sign() - near).detach() + near


class LearnableBias(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(0.3 * torch.randn(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.expand_as(x)


class RPReLU(nn.Sequential):
    def __init__(self, channels: int) -> None:
        super().__init__(LearnableBias(channels), nn.PReLU(channels), LearnableBias(channels))


class ScaledConv(nn.Module):
    """Weights are signs times the mean of |w| of each output channel."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.padding = stride, size // 2
        self.weight = nn.Parameter(0.1 * torch.randn(outputs, inputs, size, size))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True).detach()
        near = self.weight.clamp(-1, 1)
        weight = (scale * self.weight.sign()).detach() - near.detach() + near
        return functional.conv2d(x, weight, stride=self.stride, padding=self.padding)


class SignConv(ScaledConv):
    """Weights are signs."""

    def forward(self, x: Tensor) -> Tensor:
        weight = clamped(self.weight)
        return functional.conv2d(x, weight, stride=self.stride, padding=self.padding)


class ReActBlock(nn.Module):
    """A 3x3 and one or two 1x1 binary convolutions, each with batch norm and skip."""

    def __init__(self, inputs: int, outputs: int, stride: int, signs: Signs) -> None:
        super().__init__()
        self.signs = signs
        self.moves = nn.ModuleList(LearnableBias(inputs) for _ in range(2))
        self.wide = ScaledConv(inputs, inputs, 3, stride)
        self.norm = nn.BatchNorm2d(inputs)
        self.pool = nn.AvgPool2d(2, 2) if stride == 2 else nn.Identity()
        self.between, self.last = RPReLU(inputs), RPReLU(outputs)
        copies = range(outputs // inputs)
        self.points = nn.ModuleList(ScaledConv(inputs, inputs, 1) for _ in copies)
        self.norms = nn.ModuleList(nn.BatchNorm2d(inputs) for _ in copies)

    def forward(self, x: Tensor) -> Tensor:
        first = self.norm(self.wide(self.signs(self.moves[0](x))))
        first = self.between(self.pool(x) + first)
        bits = self.signs(self.moves[1](first))
        parts = [
            norm(conv(bits)) + first for conv, norm in zip(self.points, self.norms, strict=True)
        ]
        y: Tensor = self.last(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
        return y


class SqueezeAndExpand(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 8, 2)
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d((1, 1)),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class Recoupled(nn.Module):
    """A binary convolution, whose output is weighted by a mixture of itself and its input."""

    def __init__(self, channels: int, size: int, stride: int, signs: Signs) -> None:
        super().__init__()
        self.signs, self.move = signs, LearnableBias(channels)
        self.conv, self.norm = SignConv(channels, channels, size, stride), nn.BatchNorm2d(channels)
        self.activation = nn.PReLU(channels)
        self.pool = nn.AvgPool2d(2, 2) if stride == 2 else nn.Identity()
        self.share = nn.Parameter(torch.rand(1, channels, 1, 1))
        self.attention = SqueezeAndExpand(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.norm(self.conv(self.signs(self.move(x)))))
        mixed = self.share * self.pool(x) + y * (1 - self.share)
        weighted: Tensor = self.attention(mixed) * y
        return weighted


class NextBlock(nn.Module):
    """BNext's attention, and one or two feed-forward parts side by side."""

    def __init__(self, inputs: int, outputs: int, stride: int, signs: Signs) -> None:
        super().__init__()
        self.activation = nn.PReLU(inputs)
        self.pool = nn.AvgPool2d(2, 2) if stride == 2 else nn.Identity()
        self.attention = Recoupled(inputs, 3, stride, signs)
        self.norm = nn.BatchNorm2d(inputs)
        copies = range(outputs // inputs)
        self.points = nn.ModuleList(Recoupled(inputs, 1, 1, signs) for _ in copies)
        self.norms = nn.ModuleList(nn.BatchNorm2d(inputs) for _ in copies)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.pool(self.activation(x))
        x = self.norm(self.attention(x) * skip) + skip
        parts = [norm(point(x)) + x for point, norm in zip(self.points, self.norms, strict=True)]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _layers(block: type[nn.Module], width: int, signs: Signs) -> Iterator[nn.Module]:
    yield nn.Conv2d(3, width, 3, 2, 1, bias=False)
    yield nn.BatchNorm2d(width)
    before = width
    for factor, stride in BLOCKS:
        yield block(before, factor * width, stride, signs)
        before = factor * width


def network(block: type[nn.Module], signs: Signs, *, width: int, seed: int = 0) -> nn.Sequential:
    """A network in evaluation mode, whose batch norms have statistics, (N, 3, 8 k, 8 k)."""
    torch.manual_seed(seed)
    channels = BLOCKS[-1][0] * width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    made = nn.Sequential(*_layers(block, width, signs), nn.PReLU(channels), *head)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        for _ in range(3):
            made(torch.randn(8, 3, 32, 32))
    return made.eval()
