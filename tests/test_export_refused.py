"""Exports that are refused: a one-line error, and no file."""

from pathlib import Path

import pytest
import torch
from randomised import images_of
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.errors import FileError, UnsupportedError, UsageError
from bnnkit.export import export_onnx
from bnnkit.export.from_torch.export_onnx import from_torch


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.special.bessel_j0(x)
        return y


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class FixedBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(2, -1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Unknown(), "bessel_j0"),
        (Branch(), r"data-dependent.*test_export_refused.py, line"),
        (FixedBatch(), "batch as first axis"),
        (nn.Linear(5, 2), "torch cannot export this model"),
        (
            nn.BatchNorm1d(4, track_running_stats=False),
            "expected running statistics of .*, got those of each batch",
        ),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(
    model: nn.Module, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnsupportedError, match=message) as raised:
        export_onnx(model, torch.zeros(3, 4), tmp_path / "m.onnx")
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_wrong_examples_and_places() -> None:
    with pytest.raises(UsageError, match="uint8 or float32"):
        from_torch(nn.Linear(4, 2), torch.zeros(1, 4, dtype=torch.float64))
    with pytest.raises(UsageError, match="uint8 or float32"):
        from_torch(nn.Linear(4, 2), torch.zeros(4))
    with pytest.raises(UsageError, match=r"\.cpu\(\)"):
        from_torch(nn.Linear(4, 2, device="meta"), torch.zeros(1, 4))
    with pytest.raises(FileError, match="cannot write"):
        export_onnx(nn.Linear(4, 2), torch.zeros(1, 4), Path("/nowhere/m.onnx"))


def test_nan_in_a_batch_norm_is_named() -> None:
    model = nn.Sequential(
        bnn.IntegerConv2d(1, 4, 3, zero_point=[9]), nn.BatchNorm2d(4), bnn.Sign()
    )
    model[1].get_buffer("running_var")[2] = float("nan")
    with pytest.raises(
        UnsupportedError, match=r"finite parameters and statistics of 1 \(BatchNormalization\)"
    ):
        from_torch(model, images_of(1, 1, 4, 4))
