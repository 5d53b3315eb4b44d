"""Networks with activations of two to four bits: the same numbers in torch and in every engine."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_graphs import run
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.artifact.reference import Reference
from bnnkit.cli.report_table import summary
from bnnkit.export import export_onnx
from bnnkit.runtime import load, open_artifact

pytestmark = pytest.mark.slow


def network(bits: int, signed: bool, padding: str) -> nn.Module:
    """Integer, binary and dense layers; pools before and behind batch norms of both directions."""

    def conv(inputs: int, outputs: int) -> nn.Module:
        return bnn.BinaryConv2d(inputs, outputs, 3, padding=1, padding_value=padding)

    def quantize() -> nn.Module:
        return bnn.Quantize(bits, signed, learned=True)

    torch.manual_seed(0)
    model = nn.Sequential(
        *(bnn.IntegerConv2d(3, 8, 3, padding=1, zero_point=[120, 118, 110]), nn.BatchNorm2d(8)),
        *(quantize(), conv(8, 8), nn.BatchNorm2d(8), nn.MaxPool2d(2)),
        *(quantize(), conv(8, 16), nn.MaxPool2d(2), nn.BatchNorm2d(16)),
        *(quantize(), nn.Flatten(), bnn.BinaryLinear(16 * 9, 32), nn.BatchNorm1d(32)),
        *(bnn.Sign("none"), bnn.BinaryLinear(32, 32), nn.BatchNorm1d(32)),
        *(quantize(), bnn.BinaryLinear(32, 10, bias=True)),
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model


def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (16, 3, 12, 12), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("bits", "signed", "padding"),
    [(2, True, "zeros"), (2, False, "zeros"), (2, True, "ones"), (3, False, "ones")],
)
def test_every_engine_computes_what_torch_computes(
    tmp_path: Path, bits: int, signed: bool, padding: str
) -> None:
    """All layers are integer, so the bits are equal."""
    model, x = network(bits, signed, padding), images()
    model(x)
    report = export_onnx(model.eval(), x[:1], tmp_path / "a.onnx")
    assert {layer.kind for layer in report.layers} == {"integer", "binary"}
    assert report.planes == {bits: 4}
    assert f"4 layers take activations of {bits} bit planes" in "\n".join(summary(report))
    with torch.no_grad():
        want = model(x).numpy()
    artifact = open_artifact(tmp_path / "a.onnx")
    np.testing.assert_array_equal(load(tmp_path / "a.onnx").run(x.numpy()), want)
    np.testing.assert_array_equal(run(artifact.model, x.numpy()), want)
    np.testing.assert_array_equal(Reference(artifact).run(x.numpy())[0], want)
