"""Torch modules and functions as users put them behind a binary layer, by the form of its output.

Each snippet is a function of x and the layers that it uses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everywhere in torch

import bnnkit.nn as bnn

MAP, LINE, VECTOR = (8, 6, 6), (8, 12), (12,)
"""The forms of x, without the batch."""


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """What is done with the output of a binary layer.

    Attributes:
        name: Its name.
        run: From x and the layers to a tensor, or several.
        layers: Makes the layers.
        form: The shape of x without the batch.
        in_tflite: Whether TFLite has operators for it.
    """

    name: str
    run: Callable[..., Any]
    layers: tuple[Callable[[], nn.Module], ...] = ()
    form: tuple[int, ...] = MAP
    in_tflite: bool = False


SNIPPETS: list[Snippet] = []


def of(
    name: str,
    run: Callable[..., Any],
    *layers: Callable[[], nn.Module],
    form: tuple[int, ...] = MAP,
    in_tflite: bool = False,
) -> None:
    SNIPPETS.append(Snippet(name=name, run=run, layers=layers, form=form, in_tflite=in_tflite))


def module(call: str, form: tuple[int, ...] = MAP, *, in_tflite: bool = False) -> None:
    """Add a layer of `torch.nn`, by the call that makes it."""

    def make() -> nn.Module:
        layer: nn.Module = eval(call, vars(nn))
        return layer

    of(call, lambda x, layer: layer(x), make, form=form, in_tflite=in_tflite)


def weight(*shape: int) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(3))
        return nn.ParameterList([nn.Parameter(numbers)])

    return make


def heads(x: Tensor) -> Tensor:
    """Two heads of four channels, (N, 2, T, 4)."""
    return x.reshape(x.shape[0], 2, 4, -1).transpose(2, 3)


def attended(x: Tensor, **options: Any) -> Tensor:
    return F.scaled_dot_product_attention(heads(x), heads(x) * 0.5, heads(x), **options)


def grid(x: Tensor) -> Tensor:
    """Places in a map and around it, (N, 5, 4, 2)."""
    lines = torch.linspace(-1, 1.1, 5), torch.linspace(-1.3, 0.9, 4)
    both = torch.stack(torch.meshgrid(*lines, indexing="ij"), -1)
    return both.flip(-1).expand(x.shape[0], 5, 4, 2)


def assigned(x: Tensor, place: Any, number: Any) -> Tensor:
    y = x.clone()
    y[place] = number
    return y


for _call in (
    "ConvTranspose2d(8, 5, 3, 2, 1, 1)", "ELU(0.7)", "GELU()", "GELU('tanh')", "Hardswish()",
    "Hardsigmoid()", "Softplus()", "PReLU(8)", "SiLU()", "ReLU6()", "LeakyReLU()", "Sigmoid()",
    "Tanh()", "Mish()", "SELU()", "CELU(0.7)", "Softsign()", "LogSigmoid()", "RReLU()", "GLU(1)",
    "GroupNorm(2, 8)", "LayerNorm(6)", "LayerNorm((8, 6, 6))", "InstanceNorm2d(8)", "RMSNorm(6)",
    "Softmax(2)", "Softmax(3)", "LogSoftmax(-1)", "PixelShuffle(2)", "PixelUnshuffle(3)",
    "ChannelShuffle(4)", "AdaptiveAvgPool2d((4, 5))", "AdaptiveMaxPool2d((4, 5))",
    "LPPool2d(2, 3)", "Unfold(3, padding=1)", "Softmax(1)", "LogSoftmax(1)",
    "AdaptiveAvgPool2d(1)", "AdaptiveAvgPool2d((3, 2))",
    "AvgPool2d(3, 2, 1)", "MaxPool2d(3, 2, 1)", "MaxPool2d(3, 2, ceil_mode=True)",
    "Upsample(scale_factor=2)", "Upsample(scale_factor=2, mode='bilinear')", "BatchNorm2d(8)",
):  # fmt: skip
    module(_call, in_tflite=True)
for _call in (
    "Hardshrink()", "LocalResponseNorm(3)", "Upsample(size=(9, 4), mode='bicubic')",
    "AvgPool2d((3, 2), (1, 2), (1, 0), ceil_mode=True)",
):  # fmt: skip
    module(_call)
for _call in (
    "ConvTranspose1d(8, 5, 4, 2, 1)", "Conv1d(8, 6, 3, dilation=2)", "AdaptiveMaxPool1d(5)",
    "AvgPool1d(5, 1, 2, count_include_pad=False)", "GroupNorm(4, 8)", "Linear(12, 5)",
    "Upsample(scale_factor=2, mode='linear')",
):  # fmt: skip
    module(_call, LINE, in_tflite=True)
module("RMSNorm(12)", VECTOR, in_tflite=True)
module("Softmax(-1)", VECTOR, in_tflite=True)
module("LayerNorm(12)", VECTOR, in_tflite=True)

of("antialias", lambda x: F.interpolate(x, size=(3, 4), mode="bicubic", antialias=True))
of(
    "nchw,oc->nohw",
    lambda x, w: torch.einsum("nchw,oc->nohw", x, w[0]),
    weight(5, 8),
    in_tflite=True,
)
of("nct,ncs->nts", lambda x: torch.einsum("nct,ncs->nts", x, x * 0.5), form=LINE, in_tflite=True)
of("bhqd,bhkd->bhqk", lambda x: torch.einsum("bhqd,bhkd->bhqk", x, x.flip(1)), in_tflite=True)
of("nchw,nchw->nhw", lambda x: torch.einsum("nchw,nchw->nhw", x, x), in_tflite=True)
of("matmul", lambda x: x @ x.transpose(-1, -2), in_tflite=True)
of("matmul with a constant on the left", lambda x, w: w[0] @ x, weight(4, 6), in_tflite=True)
of("bmm", lambda x: torch.bmm(x, x.transpose(1, 2)), form=LINE, in_tflite=True)
of("nchw->nwc", lambda x: torch.einsum("nchw->nwc", x), in_tflite=True)
of("split", lambda x: torch.cat(x.split([3, 4, 1], 1)[::-1], 1), in_tflite=True)
of("chunk", lambda x: torch.cat(x.chunk(3, 1)[::-1], 1), in_tflite=True)
of("unbind", lambda x: sum(i * y for i, y in enumerate(x.unbind(1), 1)), in_tflite=True)
of("expand", lambda x: x[:, :, :1].expand(-1, -1, 4, -1), in_tflite=True)
of("repeat", lambda x: x.repeat(1, 2, 1, 3), in_tflite=True)
of("tile", lambda x: torch.tile(x, (1, 1, 2, 1)), in_tflite=True)
of("repeat_interleave", lambda x: x.repeat_interleave(2, 1), in_tflite=True)
of("topk", lambda x: x.topk(3, 1))
of("sort", lambda x: x.sort(1, descending=True))
of("argmax", lambda x: x.argmax(1))
of("median", lambda x: x.median(-1)[0])
of("amax", lambda x: x.amax((2, 3)), in_tflite=True)
of("max", lambda x: x.max(1)[0], in_tflite=True)
of("prod", lambda x: (x * 0.2).prod(2), in_tflite=True)
of("mean", lambda x: x.mean((2, 3)), in_tflite=True)
of("var", lambda x: x.var(1), in_tflite=True)
of("std", lambda x: x.std((2, 3), keepdim=True), in_tflite=True)
of("norm", lambda x: x.norm(dim=1), in_tflite=True)
of("normalize", lambda x: F.normalize(x, dim=1), in_tflite=True)
of("cumsum", lambda x: x.cumsum(2), in_tflite=True)
of("cumprod", lambda x: (x * 0.3).cumprod(1), in_tflite=True)
of("cummax", lambda x: x.cummax(-1))
of("logsumexp", lambda x: torch.logsumexp(x, (2, 3)), in_tflite=True)
of("stack", lambda x: torch.stack([x, x * 2], -1).flatten(3), in_tflite=True)
of("hstack", lambda x: torch.hstack([x, x]), in_tflite=True)
of("flip", lambda x: x.flip(2, 3), in_tflite=True)
of("roll", lambda x: x.roll((1, -2), (2, 3)), in_tflite=True)
of("gather", lambda x: x.gather(1, x.argmax(1, keepdim=True)))
of("index_select", lambda x: x.index_select(1, torch.tensor([0, 7, 3, 3])), in_tflite=True)
of("a list of places", lambda x: x[..., [1, 3, 5]], in_tflite=True)
of("where", lambda x: torch.where(x > 0.5, x, x * 0.1 - 1), in_tflite=True)
of("masked_fill", lambda x: x.masked_fill(x < 0, -7.0), in_tflite=True)
of("clamp", lambda x: x.clamp(-1, 2), in_tflite=True)
for _mode in ("reflect", "replicate", "circular"):
    of(f"pad {_mode}", lambda x, m=_mode: F.pad(x, (1, 2, 0, 1), mode=m))
of("pad of a line", lambda x: F.pad(x, (1, 2), mode="reflect"), form=LINE, in_tflite=True)
of("one_hot", lambda x: F.one_hot(x.argmax(1), 8).float())
of("embedding", lambda x, e: e(x.argmax(1)), lambda: nn.Embedding(8, 5))
of("fold", lambda x: F.fold(F.unfold(x, 2, stride=2), (6, 6), 2, stride=2))
of("scatter", lambda x: torch.zeros_like(x).scatter(1, x.argmax(1, keepdim=True), 1.0))
of("assigned row", lambda x: assigned(x, (slice(None), slice(None), 0), x[:, :, 1]))
of("tril", lambda x: x.tril(), in_tflite=True)
of("diagonal", lambda x: x.diagonal(dim1=2, dim2=3))
of("grid_sample", lambda x: F.grid_sample(x, grid(x), align_corners=False))
of("grid_sample cubic", lambda x: F.grid_sample(
    x, grid(x), mode="bicubic", padding_mode="reflection", align_corners=True))  # fmt: skip
of("cdist", lambda x, w: torch.cdist(x, w[0]), weight(5, 12), form=LINE)
of("attention", attended, form=LINE, in_tflite=True)
of("causal attention", lambda x: attended(x, is_causal=True), form=LINE, in_tflite=True)
of(
    "masked attention",
    lambda x: attended(x, attn_mask=torch.ones(12, 12).tril(3).bool()),
    form=LINE,
)
of(
    "attention of three axes",
    lambda x: F.scaled_dot_product_attention(x, x, x),
    form=LINE,
    in_tflite=True,
)
of(
    "attention by hand",
    lambda x: (heads(x) @ heads(x).mT / sqrt(4)).softmax(-1) @ heads(x),
    form=LINE,
    in_tflite=True,
)
of("squeeze", lambda x, a, b: x * b(a(x.mean((2, 3))).relu()).sigmoid()[..., None, None],
   lambda: nn.Linear(8, 4), lambda: nn.Linear(4, 8), in_tflite=True)  # fmt: skip
of("class token", lambda x, p: torch.cat([p[0].expand(x.shape[0], -1, -1), x.transpose(1, 2)], 1),
   weight(1, 1, 8), form=LINE, in_tflite=True)  # fmt: skip


def recurrent(kind: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        layer: nn.Module = vars(nn)[kind](8, 5, batch_first=True, **options)
        return layer

    return make


def cells(x: Tensor, cell: nn.Module) -> Tensor:
    """Three steps of a cell, written out."""
    state = x.new_zeros(x.shape[0], 5)
    for t in range(3):
        state = cell(x[..., t], state)
    return state


for _kind, _more in (
    ("LSTM", {}), ("LSTM", {"bidirectional": True}), ("GRU", {"num_layers": 2}),
    ("RNN", {"nonlinearity": "relu"}),
):  # fmt: skip
    of(
        f"{_kind} {_more}",
        lambda x, layer: layer(x.transpose(1, 2))[0],
        recurrent(_kind, **_more),
        form=LINE,
    )
of("last states", lambda x, layer: [y[-1] for y in layer(x.transpose(1, 2))[1]],
   recurrent("LSTM"), form=LINE)  # fmt: skip
of("time first", lambda x, layer: layer(x.permute(2, 0, 1))[0].transpose(0, 1),
   lambda: nn.GRU(8, 5), form=LINE)  # fmt: skip
of("cells", cells, lambda: nn.GRUCell(8, 5), form=LINE)
of("multi-head attention", lambda x, a: a(*[x.transpose(1, 2)] * 3, need_weights=False)[0],
   lambda: nn.MultiheadAttention(8, 2, batch_first=True), form=LINE)  # fmt: skip
of("encoder layer", lambda x, layer: layer(x.transpose(1, 2)),
   lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), form=LINE)  # fmt: skip


class Network(nn.Module):
    """A binary layer, and snippets side by side on its output.

    The outputs are those of each snippet, then the sums of a binary layer on the signs of its
    first one, if those are real numbers.
    """

    def __init__(self, snippets: list[Snippet]) -> None:
        super().__init__()
        torch.manual_seed(0)
        form = snippets[0].form
        self.sign = bnn.Sign(noise="none")
        self.layer, self.norm, self.inputs = _layer(form)
        for n in (self.norm.weight, self.norm.bias, self.norm.running_mean, self.norm.running_var):
            nn.init.uniform_(n, 0.5, 1.5)
        self.runs = [snippet.run for snippet in snippets]
        self.layers = nn.ModuleList(nn.ModuleList(m() for m in s.layers) for s in snippets)
        for values in (*self.layers.parameters(), *self.layers.buffers()):
            if values.is_floating_point() and values.dim() > 1:
                nn.init.normal_(values, std=0.5)
        x = torch.randn(2, *self.inputs)
        self.heads = nn.ModuleList()
        self.eval()
        with torch.no_grad():
            for first in (_flat(y)[0] for y in self._results(x)):
                is_real = first.is_floating_point()
                size = first.flatten(1).shape[1]
                binary = nn.Sequential(bnn.Sign(noise="none"), bnn.BinaryLinear(size, 3))
                self.heads.append(binary.eval() if is_real else nn.Identity())

    def _results(self, x: Tensor) -> list[Any]:
        y = self.norm(self.layer(self.sign(x)))
        layers: Any = self.layers
        return [run(y, *mine) for run, mine in zip(self.runs, layers, strict=True)]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Apply every snippet."""
        found: list[Tensor] = []
        for result, head in zip(self._results(x), self.heads, strict=True):
            found += _flat(result)
            if not isinstance(head, nn.Identity):
                # Of no number that is 0, such as the elements above a diagonal, up to rounding.
                found.append(head(_flat(result)[0].flatten(1) - 0.1))
        return found


def _flat(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


def _layer(form: tuple[int, ...]) -> tuple[nn.Module, Any, tuple[int, ...]]:
    """The binary layer and batch norm that give a form, and the shape of their input."""
    if form == MAP:
        return bnn.BinaryConv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), (3, 6, 6)
    if form == LINE:
        return bnn.BinaryConv1d(3, 8, 3, padding=1), nn.BatchNorm1d(8), (3, 12)
    return bnn.BinaryLinear(10, 12), nn.BatchNorm1d(12), (10,)
