"""Torch's layers with many values of their arguments, each by the call that makes it."""

from typing import Any

import torch
from torch import Tensor, nn

MAP, LINE, VOLUME, VECTOR = (4, 9, 8), (4, 9), (2, 5, 4, 6), (6,)
"""Shapes of one input: (C, H, W), (C, L), (C, D, H, W) and (F,)."""

_ON_MAPS = [
    *(f"nn.Conv2d(4, 6, 3, padding={p!r}, padding_mode={m!r})"
      for m in ("zeros", "reflect", "replicate", "circular") for p in (1, (2, 1), "same")),
    "nn.Conv2d(4, 6, 3, padding='valid')",
    "nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), bias=False)",
    "nn.Conv2d(4, 6, 3, dilation=(1, 2))",
    "nn.Conv2d(4, 6, (2, 4), padding='same')",
    "nn.Conv2d(4, 8, 3, groups=2)",
    "nn.Conv2d(4, 8, 3, groups=4)",
    "nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1)",
    "nn.ConvTranspose2d(4, 6, (3, 2), stride=(1, 2), dilation=2)",
    "nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False)",
    *(f"nn.MaxPool2d({a})" for a in (
        "2", "3, stride=1, padding=1", "(3, 2), stride=(2, 3)", "2, ceil_mode=True",
        "3, stride=2, padding=1, ceil_mode=True", "2, dilation=2", "3, 2, 1, 2, ceil_mode=True",
    )),
    *(f"nn.AvgPool2d({a})" for a in (
        "2", "3, stride=2, padding=1", "3, stride=2, padding=1, count_include_pad=False",
        "2, ceil_mode=True", "3, 2, 1, ceil_mode=True", "(3, 2), (1, 3), (1, 0)",
        "3, 2, 1, ceil_mode=True, count_include_pad=False", "2, divisor_override=5",
        "3, 1, 1, divisor_override=1", "2, divisor_override=4",
    )),
    *(f"nn.LPPool2d({a})" for a in ("2, 3", "1, 2, stride=1", "2, (2, 3), ceil_mode=True")),
    *(f"nn.Adaptive{k}Pool2d({a})" for k in ("Avg", "Max") for a in (
        "1", "(9, 8)", "(3, 4)", "(None, 1)", "(9, 1)",
    )),
    "nn.AdaptiveAvgPool2d((4, 3))",
    "nn.BatchNorm2d(4)", "nn.BatchNorm2d(4, eps=0.1, affine=False)",
    "nn.BatchNorm2d(4, momentum=None)",
    "nn.GroupNorm(2, 4)", "nn.GroupNorm(4, 4, eps=0.1, affine=False)", "nn.GroupNorm(1, 4)",
    "nn.InstanceNorm2d(4)", "nn.InstanceNorm2d(4, affine=True, eps=0.1)",
    "nn.LayerNorm(8)", "nn.LayerNorm((9, 8), eps=0.1, bias=False)",
    "nn.LayerNorm((4, 9, 8), elementwise_affine=False)", "nn.RMSNorm(8, eps=0.1)",
    *(f"nn.LocalResponseNorm({a})" for a in ("2", "3, alpha=0.1, beta=0.5, k=2.0")),
    "nn.PReLU()", "nn.PReLU(4, init=0.3)", "nn.GLU(1)", "nn.GLU()",
    *(f"nn.Softmax({d})" for d in (1, 2, -1)), *(f"nn.LogSoftmax({d})" for d in (1, -2)),
    "nn.Softmin(1)", "nn.Softmax2d()",
    *(f"nn.Flatten({a})" for a in ("", "1, 2", "2", "-2, -1", "1, -2")),
    "nn.Unflatten(1, (2, 2))", "nn.PixelShuffle(2)", "nn.PixelUnshuffle(1)",
    "nn.ChannelShuffle(2)",
    *(f"nn.Upsample({a})" for a in (
        "scale_factor=2", "scale_factor=(1.5, 2)", "size=(11, 5)", "size=(18, 16), mode='nearest'",
        "scale_factor=2, mode='nearest-exact'", "scale_factor=1.7, mode='nearest-exact'",
        "scale_factor=2, mode='bilinear'", "scale_factor=2, mode='bilinear', align_corners=True",
        "size=(5, 4), mode='bilinear'", "size=(1, 1), mode='bilinear', align_corners=True",
        "scale_factor=1.5, mode='bicubic'", "scale_factor=2, mode='bicubic', align_corners=True",
        "scale_factor=1.7, mode='bilinear', recompute_scale_factor=True",
        "scale_factor=0.6, mode='bilinear'", "scale_factor=0.6",
    )),
    "nn.UpsamplingNearest2d(scale_factor=2)", "nn.UpsamplingBilinear2d(size=(12, 11))",
    "nn.ZeroPad2d((1, 2, 0, 1))", "nn.ConstantPad2d(1, -0.5)", "nn.ReflectionPad2d((1, 2, 0, 1))",
    "nn.ReplicationPad2d(2)", "nn.CircularPad2d((1, 2, 0, 1))", "nn.ZeroPad2d(-1)",
    "nn.Dropout2d(0.3)", "nn.AlphaDropout()", "nn.FeatureAlphaDropout()", "nn.Dropout(1.0)",
    "nn.Unfold((2, 3), stride=2)", "nn.Unfold(3, dilation=2, padding=1)",
]  # fmt: skip

_ACTIVATIONS = [
    *(f"nn.{name}()" for name in (
        "ReLU", "ReLU6", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Hardtanh", "Hardswish",
        "Hardsigmoid", "Hardshrink", "Softshrink", "Softplus", "Softsign", "Tanh", "Tanhshrink",
        "Sigmoid", "LogSigmoid", "LeakyReLU", "Identity",
    )),
    *("nn.ReLU(inplace=True)", "nn.ELU(0.5)", "nn.CELU(0.5)", "nn.GELU('tanh')"),
    *("nn.Hardtanh(-0.5, 2.0)", "nn.Hardshrink(0.2)", "nn.Softshrink(0.1)"),
    *("nn.Softplus(2.0, 3.0)", "nn.Softplus(beta=0.5)", "nn.LeakyReLU(-0.2)", "nn.LeakyReLU(1.5)"),
    *("nn.Threshold(0.1, -3.0)", "nn.Threshold(-0.5, 20.0)"),
]  # fmt: skip

_ON_LINES = [
    *(f"nn.Conv1d(4, 6, 3, padding={p!r}, padding_mode={m!r})"
      for m in ("zeros", "reflect", "replicate", "circular") for p in (2, "same")),
    "nn.Conv1d(4, 8, 2, stride=3, dilation=2, groups=2)",
    "nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1)",
    "nn.MaxPool1d(2, ceil_mode=True)", "nn.MaxPool1d(3, 1, 1, 2)",
    "nn.AvgPool1d(2, ceil_mode=True)", "nn.AvgPool1d(3, 2, 1, count_include_pad=False)",
    "nn.AvgPool1d(4, 3, 1, ceil_mode=True)", "nn.AdaptiveAvgPool1d(3)", "nn.AdaptiveMaxPool1d(1)",
    "nn.LPPool1d(2, 2)", "nn.BatchNorm1d(4)", "nn.InstanceNorm1d(4)", "nn.Linear(9, 5)",
    "nn.Upsample(scale_factor=2)", "nn.Upsample(size=5, mode='linear')",
    "nn.ReflectionPad1d((1, 2))", "nn.ReplicationPad1d(1)", "nn.CircularPad1d(1)",
    "nn.ConstantPad1d((2, -1), 3.0)", "nn.LSTM(9, 5, batch_first=True)",
    "nn.GRU(9, 5, batch_first=True)", "nn.RNN(9, 5, batch_first=True)",
]  # fmt: skip

_ON_VOLUMES = [
    "nn.Conv3d(2, 3, 3, padding=1)", "nn.Conv3d(2, 4, (1, 2, 3), stride=(2, 1, 1), groups=2)",
    "nn.MaxPool3d(2, ceil_mode=True)", "nn.AvgPool3d(2)", "nn.AvgPool3d(2, divisor_override=3)",
    "nn.AvgPool3d(3, 2, 1, ceil_mode=True, count_include_pad=False)", "nn.AdaptiveAvgPool3d(1)",
    "nn.BatchNorm3d(2)", "nn.Upsample(scale_factor=2, mode='trilinear')",
    "nn.ConvTranspose3d(2, 3, 2, stride=2)", "nn.ReplicationPad3d(1)", "nn.ReflectionPad3d(1)",
]  # fmt: skip

_ON_VECTORS = [
    "nn.Linear(6, 5)", "nn.Linear(6, 5, bias=False)", "nn.BatchNorm1d(6)", "nn.LayerNorm(6)",
    "nn.Softmax(1)", "nn.Softmax(-1)", "nn.LogSoftmax(1)", "nn.GLU()", "nn.Unflatten(1, (2, 3))",
]  # fmt: skip

CALLS = {
    MAP: [*_ON_MAPS, *_ACTIVATIONS],
    LINE: _ON_LINES,
    VOLUME: _ON_VOLUMES,
    VECTOR: _ON_VECTORS,
}
"""The layers by the shape of one input."""


def make(call: str) -> nn.Module:
    """Make a layer of `CALLS` with random parameters and statistics, in evaluation mode."""
    torch.manual_seed(0)
    layer: nn.Module = eval(call, {"nn": nn})
    with torch.no_grad():
        for name, values in (*layer.named_parameters(), *layer.named_buffers()):
            if values.is_floating_point() and "PReLU" not in call:
                values.copy_(
                    torch.rand_like(values) + 0.5 * ("var" in name) - 0.3 * (values.dim() > 1)
                )
    return layer.eval()


class SideBySide(nn.Module):
    """Layers on the same input; each result is an output.

    Args:
        calls: The layers, out of `CALLS`.
    """

    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(make(call) for call in calls)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Apply every layer to x, (N, *shape)."""
        # A copy, as some layers change their input.
        found: list[Any] = [layer(x + 0) for layer in self.layers]
        return tuple(y[0] if isinstance(y, tuple) else y for y in found)
