"""ResNet-20 for CIFAR-10 as six papers write it: their signs, weights and shortcuts "option A".

Written from the published descriptions in plain torch modules, as users export them: nothing of
bnnkit is in them. The shortcut takes every second pixel and pads the channels with zeros.

References:
    IR-Net, 2020, https://arxiv.org/abs/1909.10788
    RBNN, 2020, https://arxiv.org/abs/2009.13055
    ReCU, 2021, https://arxiv.org/abs/2103.12369
    AdaBin, 2022, https://arxiv.org/abs/2208.08084
    ReSTE, 2023, https://arxiv.org/abs/2308.06689
    BiPer, 2024, https://arxiv.org/abs/2404.01278
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Shortcut = Callable[[int, int], nn.Module]


class LambdaLayer(nn.Module):
    """A function as a module, as in the usual CIFAR ResNets."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def every_second_pixel(inputs: int, planes: int) -> nn.Module:
    side = (planes - inputs) // 2
    return LambdaLayer(
        lambda x: functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side), "constant", 0)
    )


def mean_and_pad(inputs: int, planes: int) -> nn.Module:
    """The mean of four pixels, with the new channels at the end."""
    pad = LambdaLayer(lambda x: functional.pad(x, (0, 0, 0, 0, 0, planes - inputs)))
    return nn.Sequential(nn.AvgPool2d(2, 2), pad)


def pad_then_pool(inputs: int, planes: int) -> nn.Module:
    side = (planes - inputs) // 2
    pad = LambdaLayer(lambda x: functional.pad(x, (0, 0, 0, 0, side, side), "constant", 0))
    return nn.Sequential(pad, nn.AvgPool2d(kernel_size=2, stride=2))


class IRNetConv(nn.Conv2d):
    """Balanced and standardised weights, times a power of two."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        w = w - w.view(w.size(0), -1).mean(-1).view(w.size(0), 1, 1, 1)
        w = w / w.view(w.size(0), -1).std(-1).view(w.size(0), 1, 1, 1)
        size = w.abs().view(w.size(0), -1).mean(-1)
        shift = torch.pow(2.0, (torch.log(size) / torch.log(torch.tensor(2.0))).round())
        signs = torch.sign(w) * shift.view(w.size(0), 1, 1, 1).detach()
        return functional.conv2d(torch.sign(x), signs, None, self.stride, self.padding)


class RBNNConv(nn.Conv2d):
    """Weights that two rotations turn before their signs are taken; a trained scale."""

    def __init__(self, *args: int, **options: int) -> None:
        super().__init__(*args, **options, bias=False)  # type: ignore[arg-type, misc]
        rows = self.in_channels * 9
        left, _ = torch.linalg.qr(torch.randn(rows, rows))
        self.rotation = nn.Parameter(left)
        self.mixing = nn.Parameter(torch.tensor(0.7))
        self.alpha = nn.Parameter(torch.rand(self.out_channels, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        flat = w.view(w.size(0), -1)
        rotated = flat + (flat @ self.rotation - flat) * self.mixing.abs()
        signs = rotated.view_as(w).sign()
        return functional.conv2d(x.sign(), signs, None, self.stride, self.padding) * self.alpha


class ReCUConv(nn.Conv2d):
    """Standardised weights, clamped at two quantiles; the mean of their sizes as scale."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight - self.weight.mean([1, 2, 3], keepdim=True)
        w = w / (torch.sqrt(w.var([1, 2, 3], keepdim=True) + 1e-5) / 2 / 2**0.5)
        ordered = w.detach().flatten(1).sort(1).values
        low = ordered[:, ordered.size(1) // 20, None, None, None]
        high = ordered[:, -1 - ordered.size(1) // 20, None, None, None]
        signs = torch.sign(torch.max(torch.min(w, high), low))
        size = w.abs().mean([1, 2, 3]).view(-1, 1, 1)
        return functional.conv2d(x.sign(), signs, None, self.stride, self.padding) * size


class AdaBinConv(nn.Conv2d):
    """Weights and activations of two numbers each, which need not be opposite."""

    def __init__(self, *args: int, **options: int) -> None:
        super().__init__(*args, **options, bias=False)  # type: ignore[arg-type, misc]
        self.alpha, self.beta = nn.Parameter(torch.tensor(0.9)), nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        turned = (x - self.beta) / self.alpha
        x = torch.where(turned >= 0, 1.0, -1.0) * self.alpha + self.beta
        mean = self.weight.mean([1, 2, 3], keepdim=True)
        around = self.weight - mean
        spread = torch.sqrt((around**2).sum([1, 2, 3], keepdim=True) / around[0].numel())
        w = torch.where(around >= 0, 1.0, -1.0) * spread + mean
        return functional.conv2d(x, w, None, self.stride, self.padding)


class ReSTEConv(nn.Conv2d):
    """Plain signs; the mean size of the weights of a channel."""

    def forward(self, x: Tensor) -> Tensor:
        size = self.weight.abs().mean(dim=(1, 2, 3), keepdim=True)
        return functional.conv2d(
            torch.sign(x), torch.sign(self.weight) * size, None, self.stride, self.padding
        )


class BiPerConv(nn.Conv2d):
    """The signs of a sine of the weights; activations by comparisons."""

    def forward(self, x: Tensor) -> Tensor:
        wave = torch.sin(20.0 * self.weight)
        size = self.weight.abs().mean([1, 2, 3], keepdim=True)
        signs = torch.where(wave >= 0, 1.0, -1.0) * size
        x = (x >= 0).float() * 2 - 1
        return functional.conv2d(x, signs, None, self.stride, self.padding)


class BasicBlock(nn.Module):
    """Two binary layers, one with the skip connection around both, or one around each."""

    def __init__(
        self, conv: type[nn.Conv2d], inputs: int, planes: int, shortcut: Shortcut, *, each: bool
    ) -> None:
        super().__init__()
        stride = 1 if inputs == planes else 2
        self.conv1 = conv(inputs, planes, 3, stride=stride, padding=1)
        self.conv2 = conv(planes, planes, 3, stride=1, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(planes), nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential() if stride == 1 else shortcut(inputs, planes)
        self.each = each

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x))
        if self.each:
            out += self.shortcut(x)
            x = functional.hardtanh(out)
            out = self.bn2(self.conv2(x)) + x
        else:
            out = self.bn2(self.conv2(functional.hardtanh(out)))
            out += self.shortcut(x)
        return functional.hardtanh(out)


class ResNet(nn.Module):
    """3 stages of `blocks` blocks: 3 are ResNet-20."""

    def __init__(
        self, conv: type[nn.Conv2d], shortcut: Shortcut, blocks: int, *, each: bool
    ) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        widths = [16] * (blocks + 1) + [32] * blocks + [64] * blocks
        pairs = itertools.pairwise(widths)
        self.layers = nn.Sequential(
            *(BasicBlock(conv, a, b, shortcut, each=each) for a, b in pairs)
        )
        self.bn2, self.linear = nn.BatchNorm1d(64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layers(functional.hardtanh(self.bn1(self.conv1(x))))
        out = functional.avg_pool2d(out, out.size()[3])
        out = self.bn2(out.view(out.size(0), -1))
        y: Tensor = self.linear(out)
        return y


PAPERS: dict[str, tuple[type[nn.Conv2d], Shortcut, bool]] = {
    "IR-Net": (IRNetConv, every_second_pixel, False),
    "RBNN": (RBNNConv, mean_and_pad, True),
    "ReCU": (ReCUConv, pad_then_pool, True),
    "AdaBin": (AdaBinConv, every_second_pixel, True),
    "ReSTE": (ReSTEConv, every_second_pixel, False),
    "BiPer": (BiPerConv, mean_and_pad, True),
}


def literature_resnet(paper: str, blocks: int = 3, seed: int = 0) -> ResNet:
    """The network of a paper with random weights and statistics, in evaluation mode."""
    torch.manual_seed(seed)
    conv, shortcut, each = PAPERS[paper]
    network = ResNet(conv, shortcut, blocks, each=each)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 2 if module.num_features > 16 else 0.3)
            module.running_var.uniform_(5, 60)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return network.eval()
