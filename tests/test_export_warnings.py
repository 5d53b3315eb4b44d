"""Warnings of an export about signs without information and binary layers computed in float."""

from pathlib import Path

import pytest
import torch
from torch import nn

import bnnkit.nn as bnn
from bnnkit.artifact.checks.computed import COMPUTED, ELSEWHERE
from bnnkit.artifact.standard import SEVERAL_OUTPUTS, STANDARD_OPERATORS
from bnnkit.errors import UnsupportedError
from bnnkit.export import export_onnx
from bnnkit.runtime.lowering.lower import LOWERINGS


def test_signs_behind_a_relu_are_warned_of(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), bnn.Sign(noise="none"), bnn.BinaryLinear(16, 4)
    ).eval()
    with pytest.warns(UserWarning, match=r"2: the signs are the same for every input \(.*ReLU"):
        report = export_onnx(network, torch.randn(3, 8), tmp_path / "model.onnx")
    assert [sign.is_constant for sign in report.signs] == [True]


def test_binary_layers_over_volumes_are_warned_of(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(2, 4, 1), bnn.Sign(noise="none"), bnn.BinaryConv3d(4, 4, 1), nn.Flatten()
    ).eval()
    with pytest.warns(UserWarning, match=r"^2: binary layers that the file computes in float; "):
        report = export_onnx(network, torch.randn(3, 2, 2, 2, 2), tmp_path / "model.onnx")
    assert report.macs["binary"] == 0


def test_a_packed_network_is_not_warned_of(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(8, 16), bnn.Sign(noise="none"), bnn.BinaryLinear(16, 4)
    ).eval()
    report = export_onnx(network, torch.randn(3, 8), tmp_path / "model.onnx")
    assert report.macs["binary"] > 0


class Spectra(nn.Module):
    """Two operators that the runtime lacks, and a batch that is not first."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        places = torch.nonzero(x[0, 0] > 0)[:, 0]
        return (
            torch.fft.rfft(x).abs(),
            x * places.sum(),
            x.transpose(0, 1).softmax(1).transpose(0, 1),
        )


def test_what_the_runtime_lacks_is_refused_with_all_reasons(tmp_path: Path) -> None:
    path, x = tmp_path / "model.onnx", torch.randn(2, 3, 8)
    with pytest.raises(UnsupportedError, match=r"NonZero.*DFT.*batch.*runtime=False"):
        export_onnx(Spectra().eval(), x, path)
    assert not path.exists()


def test_it_is_written_for_other_engines_on_demand(tmp_path: Path) -> None:
    path, x = tmp_path / "model.onnx", torch.randn(2, 3, 8)
    with pytest.warns(UserWarning, match="bnnkit's runtime cannot run this network: .*DFT"):
        export_onnx(Spectra().eval(), x, path, runtime=False)
    assert path.exists()


def test_the_runtime_computes_what_the_check_says() -> None:
    in_numpy = STANDARD_OPERATORS.keys() | SEVERAL_OUTPUTS.keys()
    assert LOWERINGS.keys() | in_numpy | ELSEWHERE == COMPUTED
