"""The example of docs/artifact.md in stock ONNX Runtime: right, and without warnings."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bnnkit.runtime as rt
from bnnkit.artifact.format.sample import Sample

PAGE = (Path(__file__).parent.parent / "docs" / "artifact.md").read_text(encoding="utf-8")
WARNING = "appears in graph inputs"


def _run_example(model: Path, replaced: tuple[str, str] = ("", "")) -> str:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (code,) = (block for block in blocks if "log_severity_level" in block)
    code = code.replace("digits.onnx", str(model)).replace(*replaced)
    code += f"np.save({str(model.parent / 'scores.npy')!r}, scores)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_example_is_silent_and_exact(digits_model: Path) -> None:
    assert _run_example(digits_model) == ""
    images = np.zeros((1, 1, 8, 8), np.uint8)
    expected = rt.load(digits_model).run_sample(images, Sample(index=0, seed=7))
    scores = np.load(digits_model.parent / "scores.npy")
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)


@pytest.mark.exhaustive
def test_without_the_setting_there_are_the_four_warnings(digits_model: Path) -> None:
    """If this fails, ONNX Runtime has changed, and the setting may be superfluous."""
    said = _run_example(digits_model, ("log_severity_level = 3", "log_severity_level = 2"))
    assert said.count(WARNING) == 4
