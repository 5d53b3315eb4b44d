"""ReActNet-A and BNext in plain torch, from the files of both of torch's exporters."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exporter_cache import ask_torch
from onnx_graphs import operators, run
from plain_networks import (
    NextBlock,
    ReActBlock,
    ScaledConv,
    Signs,
    clamped,
    network,
    polynomial,
    straight_through,
)
from torch import nn

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.report import report
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

CASES = (
    (ReActBlock, polynomial, "dynamo"),
    (ReActBlock, straight_through, "torchscript"),
    (NextBlock, straight_through, "dynamo"),
    (NextBlock, clamped, "torchscript"),
)
"""All pairs of a network and an exporter, with the forms in which signs are written."""


def exported(model: nn.Module, x: torch.Tensor, path: Path, exporter: str) -> onnx.ModelProto:
    """The file that torch's newer or older exporter writes, with a free batch."""
    options: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    if exporter == "dynamo":
        options = {"dynamic_shapes": ({0: torch.export.Dim("n")},), "verbose": False}
    ask_torch(model, (x,), path, dynamo=exporter == "dynamo", **options)
    return onnx.load(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("block", "signs", "exporter"), CASES)
@pytest.mark.slow
def test_outputs_are_those_of_torch(
    block: type[nn.Module], signs: Signs, exporter: str, tmp_path: Path
) -> None:
    model = network(block, signs, width=8)
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want = model(x).numpy()
    converted, _ = from_onnx(exported(model, x, tmp_path / "plain.onnx", exporter))
    n_binary = sum(isinstance(module, ScaledConv) for module in model.modules())
    layers = report(Artifact(converted.model), 0).layers
    assert sum(layer.kind == "binary" for layer in layers) == n_binary
    assert operators(converted.model).count("BinaryConv2d") == n_binary
    for got in (np.asarray(Model(converted).run(x.numpy())), run(converted.model, x.numpy())):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(got.argmax(1), want.argmax(1))
