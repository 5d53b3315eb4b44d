"""ResNet-20 of the literature, with shortcuts "option A", by torch's older exporter."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exporter_cache import ask_torch
from literature_resnets import PAPERS, literature_resnet

import bnnkit.runtime as rt
from bnnkit.export import convert_onnx

TOLERANCE = 1e-4
"""Of scores, relative to the largest: the source rounds its scaled products, the file its sums."""


@pytest.mark.slow
@pytest.mark.parametrize("is_free", [False, True], ids=["batch of 1", "free batch"])
@pytest.mark.parametrize("paper", PAPERS)
def test_every_binary_layer_is_packed(paper: str, is_free: bool, tmp_path: Path) -> None:
    blocks = 3 if is_free else 1
    network = literature_resnet(paper, blocks)
    x = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    source = tmp_path / "source.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options: dict[str, Any] = {"dynamo": False, "input_names": ["x"]}
        options |= {"dynamic_axes": {"x": {0: "n"}}} if is_free else {}
        ask_torch(network, (x[:1],), f=str(source), **options)
    report = convert_onnx(source, tmp_path / "model.onnx").artifact
    packed = [layer for layer in report.layers if layer.kind == "binary"]
    of_ones = [layer for layer in packed if layer.macs is not None and layer.name.endswith("ones")]
    assert len(packed) - len(of_ones) >= 6 * blocks
    others = [(layer.kind, layer.operator) for layer in report.layers if layer.kind != "binary"]
    assert others == [("float", "Conv"), ("float", "Gemm")]
    with torch.no_grad():
        want = network(x).numpy()
    found = rt.load(tmp_path / "model.onnx").run(x.numpy())
    differs = (np.abs(found - want) > TOLERANCE * np.abs(want).max()).any(axis=1)
    assert differs.sum() <= 1  # rounding decides about one sign in a million
