"""The examples with a plain loop and with Lightning train and export a network."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from example_scripts import run_example


def accuracy_of(folder: Path, script: str, *words: str) -> float:
    """Run an example; return the accuracy of the file, which it prints last."""
    text = run_example(folder, script, *words)
    (found,) = re.findall(r"\.onnx: (\S+) of the test images", text)
    return float(found)


@pytest.mark.slow
def test_the_plain_loop(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    assert accuracy_of(tmp_path, "plain_loop.py", "--epochs", "4") > 0.8


@pytest.mark.slow
def test_the_loop_of_lightning(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    if find_spec("lightning") is None:
        pytest.skip("lightning is not installed")
    found = accuracy_of(tmp_path, "lightning_digits.py", "--epochs", "3", "--out", "out")
    assert found > 0.8
    (metrics,) = (tmp_path / "out").rglob("metrics.csv")
    assert "train_loss" in metrics.read_text()
