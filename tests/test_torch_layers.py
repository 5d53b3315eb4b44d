"""Torch's layers with many values of their arguments: right in the file, or refused."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
import torch
from torch import Tensor, nn
from torch_layers import CALLS, LINE, MAP, VECTOR, VOLUME, SideBySide, make

import bnnkit.nn as bnn
from bnnkit.artifact.artifact import Artifact
from bnnkit.engines.ort import OnnxRuntime
from bnnkit.errors import UnsupportedError
from bnnkit.export import export_onnx
from bnnkit.export.from_torch import compare_with_torch
from bnnkit.export.from_torch.export_onnx import from_torch

WRONG = {
    MAP: {"nn.AvgPool2d(2, divisor_override=5)", "nn.AvgPool2d(3, 1, 1, divisor_override=1)"},
    LINE: set(),
    VOLUME: {"nn.AvgPool3d(2, divisor_override=3)"},
    VECTOR: set(),
}
"""What torch's exporter translates wrongly."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # torch's
@pytest.mark.parametrize("shape", CALLS, ids=str)
def test_arguments_are_honoured(shape: tuple[int, ...]) -> None:
    network = SideBySide(CALLS[shape]).eval()
    x = torch.randn(3, *shape)
    with torch.no_grad():
        expected = [y.numpy() for y in network(x)]
    found = OnnxRuntime(from_torch(network, x)).run(x.numpy())
    wrong = {
        call
        for call, want, have in zip(CALLS[shape], expected, found, strict=True)
        if want.shape != have.shape or not np.allclose(want, have, rtol=1e-4, atol=1e-4)
    }
    assert wrong == WRONG[shape]


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        ("nn.AvgPool2d(2, divisor_override=5)", MAP),
        pytest.param("nn.AvgPool3d(2, divisor_override=3)", VOLUME, marks=pytest.mark.slow),
    ],
)
def test_a_wrong_translation_is_not_written(
    call: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    kind = call.removeprefix("nn.").partition("(")[0]
    network = nn.Sequential(nn.ReLU(), make(call), nn.Flatten())
    message = rf"computes what torch computes, but the output of '1' \({kind}\) differs"
    with pytest.raises(UnsupportedError, match=message):
        export_onnx(network, torch.zeros(1, *shape), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []
    export_onnx(network, torch.zeros(1, *shape), tmp_path / "m.onnx", compare=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "nn.FractionalMaxPool2d(2, output_size=(2, 2))",
            "no counterpart of the operator aten.fractional",
        ),
        ("nn.InstanceNorm2d(4, track_running_stats=True)", "expected running statistics"),
    ],
)
def test_what_has_no_translation_is_refused(call: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=message):
        export_onnx(make(call), torch.zeros(1, *MAP), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


class Wrong(nn.Module):
    """Computes something else while it is exported."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 3 if torch.onnx.is_in_onnx_export() else x


def binary(*last: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        bnn.IntegerConv2d(1, 4, 3, zero_point=[9]), nn.BatchNorm2d(4), bnn.Sign("none"),
        bnn.BinaryConv2d(4, 6, 3), nn.BatchNorm2d(6), *last,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "named"),
    [
        (binary(Wrong(), bnn.Sign(), nn.Flatten()), "the signs of '6' differ"),
        (binary(Wrong(), nn.Flatten(), nn.Linear(96, 3)), r"the output of '5' \(Wrong\) differs"),
        (nn.Sequential(nn.Linear(64, 4), Wrong()), r"the output of '1' \(Wrong\) differs"),
    ],
)
def test_the_first_layer_that_differs_is_named(
    network: nn.Sequential, named: str, tmp_path: Path
) -> None:
    shape = (64,) if isinstance(network[0], nn.Linear) else (1, 8, 8)
    example = torch.zeros(1, *shape, dtype=torch.float32 if len(shape) == 1 else torch.uint8)
    with pytest.raises(UnsupportedError, match=f"but {named}"):
        export_onnx(network, example, tmp_path / "m.onnx")


@pytest.mark.slow
def test_signs_of_what_is_zero_up_to_rounding_are_excused() -> None:
    layer = nn.Linear(8, 4)
    network = nn.Sequential(layer, bnn.Sign(), nn.Linear(4, 2)).eval()
    x = torch.randn(1, 8)
    with torch.no_grad():
        layer.bias.sub_(layer(x)[0] - 1e-5)
        artifact = from_torch(network, x)
        layer.bias.sub_(2e-5)  # now below zero
        compare_with_torch.compare_with_torch(artifact, network, x)
        layer.bias.sub_(1)
    with pytest.raises(UnsupportedError, match="the output of '0'"):
        compare_with_torch.compare_with_torch(artifact, network, x)


@pytest.mark.slow
@pytest.mark.parametrize("small", [0, 10**9])
def test_both_executors_agree(small: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compare_with_torch, "_SMALL", small)
    export_onnx(binary(nn.Flatten()), images(), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match="'6'"):
        export_onnx(binary(nn.Hardtanh(), Wrong()), images(), tmp_path / "m.onnx")


def images() -> Tensor:
    return torch.zeros(1, 1, 8, 8, dtype=torch.uint8)


@pytest.mark.slow
def test_random_inputs_that_the_model_refuses_are_left_out(tmp_path: Path) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.table(x.long())
            return y

    export_onnx(Tokens(), torch.zeros(1, 4, dtype=torch.uint8), tmp_path / "m.onnx")


@pytest.mark.parametrize("error", [UnsupportedError("no such operator"), MemoryError()])
def test_what_neither_executor_runs_is_written_with_a_warning(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(artifact: Artifact, inputs: Any) -> Any:
        raise error

    monkeypatch.setattr(compare_with_torch, "_run_in_reference", fail)
    monkeypatch.setattr(compare_with_torch, "_run_in_onnxruntime", fail)
    with pytest.warns(UserWarning, match="not compared with torch: (no such op|not enough mem)"):
        export_onnx(nn.Linear(4, 2), torch.zeros(1, 4), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").exists()


def test_a_file_that_does_not_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its product has a shape that does not fit; without ONNX Runtime only the reference runs."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    broken = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> g (float[N, 4] x) => (float[N, 3] y)'
        "<float[5, 3] w = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}> { y = MatMul (x, w) }"
    )
    with pytest.raises(UnsupportedError, match="but it cannot be run: "):
        compare_with_torch.compare_with_torch(Artifact(broken), nn.Linear(4, 3), torch.zeros(2, 4))
