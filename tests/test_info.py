"""`bnnkit info`."""

import json
import subprocess
import sys
from pathlib import Path

import onnx
import onnx.parser
import pytest
from command_line import succeed


@pytest.mark.slow
def test_info_of_model_and_checkpoint_agree(digits_run: Path, digits_model: Path) -> None:
    found = json.loads(succeed("info", digits_model, "--json"))
    assert found["metadata"]["dataset"] == "digits"
    assert found["metadata"]["classes"] == [str(digit) for digit in range(10)]
    assert found["file_bytes"] == digits_model.stat().st_size
    of_checkpoint = json.loads(succeed("info", digits_run, "--json"))
    assert of_checkpoint["layers"] == found["layers"]
    assert of_checkpoint["metadata"] == found["metadata"]
    assert "training" not in found
    assert of_checkpoint["training"]["estimator"] == "st"
    assert "weight rule: mirror-descent" in succeed("info", digits_run)
    assert "multiply-accumulates" in succeed("info", digits_model)


def test_info_shows_no_empty_lines(model: Path) -> None:
    content = onnx.load(model)
    for key, value in (("classes", "[]"), ("dataset", ""), ("accuracy", "0.5")):
        content.metadata_props.add(key=f"bnnkit.{key}", value=value)
    onnx.save(content, model)
    said = succeed("info", model)
    assert "accuracy:" in said
    assert "classes:" not in said
    assert "dataset:" not in said


def test_info_shortens_numbers_and_long_lists(model: Path) -> None:
    content = onnx.load(model)
    classes = json.dumps([f"c{number}" for number in range(1000)])
    for key, value in (("classes", classes), ("accuracy", "0.8765432109876543")):
        content.metadata_props.add(key=f"bnnkit.{key}", value=value)
    onnx.save(content, model)
    said = succeed("info", model)
    assert "87.65% on the test part" in said
    assert "0.8765432" not in said
    assert "c19, ... (1000 classes)" in said
    assert len(json.loads(succeed("info", model, "--json"))["metadata"]["classes"]) == 1000


def test_info_of_an_ordinary_file_without_shapes(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21, "strange" : 1]>
        g (float[N, 2] x) => (float[N, 2] y) <float[2, 2] w = {1, 2, 3, 4}> {
          a = MatMul (x, w)
          b = strange.Own (a)
          y = MatMul (b, w)
        }"""
    )
    onnx.save(model, tmp_path / "m.onnx")
    assert "unknown for 1 of 2 layers" in succeed("info", tmp_path / "m.onnx")


def test_the_tables_of_a_file_are_not_cut(digits_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bnnkit", "info", str(digits_model)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "8-bit input x 12-bit weights" in done.stdout


@pytest.mark.parametrize(
    "classes",
    ["5", "null", '"cat"', "{}", "[1, 2]", "[" * 20_000, "[" * 900 + "]" * 900, "[", "NaN"],
)
def test_info_shows_odd_classes_as_text(classes: str, model: Path) -> None:
    content = onnx.load(model)
    content.metadata_props.add(key="bnnkit.classes", value=classes)
    onnx.save(content, model)
    assert f"classes:     {classes}" in succeed("info", model)
    assert json.loads(succeed("info", model, "--json"))["metadata"]["classes"] == classes


def test_info_shows_a_deeply_nested_value_as_text(model: Path) -> None:
    content, value = onnx.load(model), "[" * 900 + "]" * 900
    del content.metadata_props[:]
    for key, text in (("format", "1"), ("input", value)):
        content.metadata_props.add(key=f"bnnkit.{key}", value=text)
    onnx.save(content, model)
    assert value in succeed("info", model)
