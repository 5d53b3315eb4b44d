"""What torch users do to steps (T, N, C), whose batch is not the first axis, by three exporters.

All are outputs of one network, because torch's exporter takes most of the time.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exporter_cache import ask_torch
from torch import Tensor, nn
from torch.nn import functional

import bnnkit.nn as bnn
import bnnkit.runtime as rt
from bnnkit.export import convert_onnx, export_onnx

STEPS, CHANNELS = 7, 8


class Steps(nn.Module):
    """A binary layer of tokens, and each move of its steps, which ends with the batch first."""

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self.sign, self.layer = bnn.Sign(noise="none"), bnn.BinaryLinear(6, CHANNELS)
        self.plain = plain
        self.weight = nn.Parameter(torch.randn(6, CHANNELS))
        self.token = nn.Parameter(torch.randn(1, 1, CHANNELS))
        self.places = nn.Parameter(torch.randn(20, 1, CHANNELS))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.plain:
            signs, weight = (torch.where(a >= 0, 1.0, -1.0) for a in (x, self.weight))
            y = signs @ weight
        else:
            y = self.layer(self.sign(x))
        y = y.transpose(0, 1)
        return tuple(move(self, y) for move in MOVES.values())


def repeated(net: Steps, y: Tensor) -> Tensor:
    return net.token.repeat(1, y.shape[1], 1)


def attended(y: Tensor) -> Tensor:
    rows = y.transpose(0, 1)
    scores = (rows @ y.permute(1, 2, 0) / 10).masked_fill(
        torch.ones(STEPS, STEPS).triu(1) > 0, -1e4
    )
    return scores.softmax(-1) @ rows


MOVES: dict[str, Callable[[Steps, Tensor], Tensor]] = {
    "pad": lambda net, y: functional.pad(y, (0, 1, 0, 0, 2, 1)).transpose(0, 1),
    "class token": lambda net, y: torch.cat([net.token.expand(-1, y.shape[1], -1), y]).transpose(
        0, 1
    ),
    "repeated token": lambda net, y: torch.cat([repeated(net, y), y, y]).transpose(0, 1),
    "token of images": lambda net, y: torch.cat(
        [net.token.repeat(y.shape[1], 1, 1), y.transpose(0, 1)], 1
    ),
    "query": lambda net, y: (repeated(net, y) * y).sum(0),
    "running sum": lambda net, y: y.cumsum(0).transpose(0, 1),
    "repeat": lambda net, y: y.repeat(2, 1, 1).transpose(0, 1),
    "flip": lambda net, y: y.flip(0).transpose(0, 1),
    "roll": lambda net, y: y.roll(1, 0).transpose(0, 1),
    "select": lambda net, y: y[3] + y[-1],
    "places": lambda net, y: (y + net.places[: y.shape[0]]).transpose(0, 1),
    "einsum": lambda net, y: torch.einsum("tnc,snc->nts", y, y),
    "stack": lambda net, y: torch.stack(y.unbind(0), 1),
    "largest": lambda net, y: y.topk(3, dim=-1).values.transpose(0, 1),
    "sort": lambda net, y: y.sort(0).values.transpose(0, 1),
    "shifted": lambda net, y: torch.cat([y.new_zeros(1, y.shape[1], CHANNELS), y[:-1]]).transpose(
        0, 1
    ),
    "windows": lambda net, y: y.unfold(0, 4, 2).transpose(0, 1),
    "causal attention": lambda net, y: attended(y),
    "argmax": lambda net, y: y.argmax(-1).transpose(0, 1).float(),
    "max": lambda net, y: y.max(0).values,
    "resize of rows": lambda net, y: (
        functional.interpolate(y.reshape(-1, 1, 2, 4), size=(4, 8)).view(STEPS, -1, 32)
    ).transpose(0, 1),
    "heads": lambda net, y: y.unsqueeze(2).expand(-1, -1, 3, -1).reshape(STEPS, -1, 24).mean(0),
}


def export_by(route: str, net: nn.Module, x: Tensor, path: Path) -> None:
    if route == "bnnkit":
        export_onnx(net, x, path)
        return
    options: dict[str, Any] = {"dynamic_axes": {"x": {0: "n"}}, "input_names": ["x"]}
    if route == "dynamo":
        options = {"dynamic_shapes": ({0: torch.export.Dim("n")},), "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = path.with_name("source.onnx")
        ask_torch(net, (x,), f=str(source), dynamo=route == "dynamo", **options)
    convert_onnx(source, path)


@pytest.mark.slow
@pytest.mark.parametrize("route", ["bnnkit", "torchscript", "dynamo"])
def test_moves_of_steps(route: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, x = Steps(plain=route != "bnnkit").eval(), torch.randn(3, STEPS, 6)
    export_by(route, net, x, tmp_path / "model.onnx")
    found = rt.load(tmp_path / "model.onnx").run(x.numpy())
    with torch.no_grad():
        expected = net(x)
    for name, got, want in zip(MOVES, found, expected, strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-4, err_msg=name)
