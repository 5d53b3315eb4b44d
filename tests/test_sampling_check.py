"""A file whose noise is damaged is refused, in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

import bnnkit.nn as bnn
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.check import check
from bnnkit.errors import ArtifactError
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.runtime import load

Change = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="module")
def whole() -> onnx.ModelProto:
    torch.manual_seed(0)
    model = nn.Sequential(
        bnn.IntegerConv2d(1, 4, 3, zero_point=[9]),
        nn.BatchNorm2d(4),
        bnn.Sign(),
        bnn.BinaryConv2d(4, 5, 2),
        nn.BatchNorm2d(5),
        bnn.Sign(),
        nn.Flatten(),
        nn.Linear(5, 3),
    )
    images = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    return from_torch(model, images, weight_draws=2).model


def constant(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Change:
    """Replace the content of a constant."""

    def damage(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == name:
                content = change(numpy_helper.to_array(tensor).copy())
                tensor.CopyFrom(numpy_helper.from_array(content, name))

    return damage


def entry(name: str, index: int, number: float) -> Change:
    """Replace a number of a constant."""

    def change(content: NDArray[Any]) -> NDArray[Any]:
        content.reshape(-1)[index] = number
        return content

    return constant(name, change)


def same_layer(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "layer":
                attribute.i = 1


def other_input(model: onnx.ModelProto) -> None:
    sign = next(node for node in model.graph.node if node.op_type == "StochasticSign")
    sign.input[5], sign.input[6] = sign.input[6], sign.input[5]


def no_default(model: onnx.ModelProto) -> None:
    (index,) = (i for i, t in enumerate(model.graph.initializer) if t.name == "seed")
    del model.graph.initializer[index]


def layer(*value: Any) -> Change:
    """Give the first sign a number that is none."""

    def damage(model: onnx.ModelProto) -> None:
        sign = next(node for node in model.graph.node if node.op_type == "StochasticSign")
        (attribute,) = (a for a in sign.attribute if a.name == "layer")
        attribute.CopyFrom(onnx.helper.make_attribute("layer", *value))

    return damage


def twice(path: str) -> Change:
    """Give a sign limits for twice as many channels."""

    def damage(model: onnx.ModelProto) -> None:
        for name in ("threshold", "noise_scale"):
            constant(f"{path}.{name}", lambda x: np.concatenate([x, x]))(model)

    return damage


def without(op_type: str, part: str) -> Change:
    """Take the inputs or the outputs of a node."""

    def damage(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == op_type)
        del getattr(node, part)[:]

    return damage


TABLE = "noise.logistic"

DAMAGES = {
    "a NaN in the table": (entry(TABLE, 7, np.nan), "expected finite quantiles .* 'noise.log"),
    "an infinite quantile": (entry(TABLE, 4095, np.inf), "expected finite quantiles"),
    "a table that decreases": (entry(TABLE, 9, 0), "expected quantiles that do not decrease"),
    "a short table": (constant(TABLE, lambda t: t[1:]), r"table of 4096 quantiles.*\(4095,\)"),
    "a table of doubles": (constant(TABLE, lambda t: t.astype(float)), "got float64"),
    "a noise scale of 0": (entry("2.noise_scale", 0, 0), r"that is from 2\^-64 to 2\^64, got 0.0"),
    "a negative noise scale": (entry("5.noise_scale", 1, -1), r"from 2\^-64 to 2\^64, got -1.0"),
    "an infinite noise scale": (entry("5.noise_scale", 1, np.inf), r"to 2\^64, got inf"),
    "a threshold of NaN": (entry("2.threshold", 0, np.nan), "threshold of the signs '2'"),
    "too few scales": (constant("2.noise_scale", lambda r: r[1:]), "for each channel of '2'"),
    "a default that draws": (entry("sample", 0, 3), "'sample' to be int64 with the default -1"),
    "a seed of another type": (constant("seed", lambda s: s.astype(int)), "'seed' to be uint64"),
    "no default": (no_default, "expected an input 'seed' with a default"),
    "numbers that repeat": (same_layer, "a number of its own for the signs '5', got 1"),
    "a number with a fraction": (layer(1.5), "a number of its own for the signs '2', got None"),
    "several numbers": (layer([7, 8]), "a number of its own for the signs '2', got None"),
    "a text for a number": (layer("x"), "a number of its own for the signs '2', got None"),
    "a draw without inputs": (without("WeightDraw", "input"), "draw of them as ''"),
    "a sign without outputs": (without("StochasticSign", "output"), "one output|output"),
    "a sign without inputs": (without("StochasticSign", "input"), "expected the inputs|input"),
    "thresholds of other channels": (twice("2"), "for each of 4 channels"),
    "an infinite threshold": (entry("2.threshold", 0, np.inf), "that is finite, got inf"),
    "inputs in another order": (other_input, "expected the inputs seed, image_offset, sample"),
    "no draws": (constant("3.weight", lambda w: w[:1]), "at least one draw of them as '3.weight'"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_noise_is_refused(name: str, whole: onnx.ModelProto, tmp_path: Path) -> None:
    damage, message = DAMAGES[name]
    model = onnx.ModelProto()
    model.CopyFrom(whole)
    damage(model)
    assert model != whole
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_whole_file_is_taken(whole: onnx.ModelProto) -> None:
    check(whole, "model.onnx")
    assert Artifact(whole).is_stochastic
