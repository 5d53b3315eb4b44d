"""Networks with activations of two to four bits: the same numbers in torch and in every engine."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_graphs import run
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.reference import Reference
from bnnkit.cli.report_table import summary
from bnnkit.engines.ort import OnnxRuntime
from bnnkit.export import export_onnx
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.runtime import Model, load, open_artifact
from bnnkit.verification.coverage import signs_in_memory, signs_of_modules
from bnnkit.verification.torch_trace import TorchTrace

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


def test_verify_compares_levels_and_planes_with_torch() -> None:
    """The first quantizer's levels are signed; the second, behind whose module a pool follows,
    is one of the pooled map in the file, so torch has no signs of that name."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 6, 3), bnn.Quantize(2), bnn.BinaryConv2d(6, 8, 3), nn.BatchNorm2d(8)),
        *(bnn.Quantize(2, signed=False), nn.MaxPool2d(2), bnn.BinaryConv2d(8, 5, 3)),
        *(bnn.Quantize(2, signed=False), nn.Flatten(), bnn.BinaryLinear(5 * 3 * 3, 4)),
    )
    x = torch.randn(4, 3, 14, 14)
    model(x)
    artifact = from_torch(model.eval(), x)
    trace = TorchTrace(model)
    found = trace(x.numpy()).signs
    names = signs_of_modules(artifact, trace.paths)
    parts = ("level1", "level2", "level3", "plane0")
    assert names == {f"{path}/{part}" for path in (1, 7) for part in parts}
    stored = Reference(artifact).trace(x.numpy())
    for name in names:
        np.testing.assert_array_equal(found[name], stored[name])
    in_memory = signs_in_memory(artifact)
    assert in_memory <= Model(artifact).trace(x.numpy()).keys()
    assert "1/plane0" in in_memory
    assert "1/level1" not in in_memory


def test_samples_of_a_network_with_noisy_signs_and_levels() -> None:
    """The levels have no noise; they follow noisy signs, so they differ between samples."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(bnn.Sign(), bnn.BinaryLinear(40, 32), nn.BatchNorm1d(32)),
        *(bnn.Quantize(2), bnn.BinaryLinear(32, 4)),
    )
    x = torch.randn(8, 40)
    model(x)
    artifact = from_torch(model.eval(), x)
    assert artifact.is_stochastic
    sample = Sample(index=3, seed=7)
    (want,) = OnnxRuntime(artifact).run(x.numpy(), sample)
    np.testing.assert_array_equal(Model(artifact).run_sample(x.numpy(), sample), want)
    assert not np.array_equal(Model(artifact).run(x.numpy()), want)
