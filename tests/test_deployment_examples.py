"""The examples of the guides about deployment run, small, and do what the guides say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = pytest.mark.slow


def run(script: str, *words: object, folder: Path, python: str = sys.executable) -> str:
    """What an example prints; it must succeed."""
    done = subprocess.run(
        [python, EXAMPLES / script, *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_layer_that_stayed_float(tmp_path: Path) -> None:
    """Each mistake makes a float layer, and its mended network has none."""
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    text = run("float_layers.py", folder=tmp_path)
    cases = re.findall(
        r"^(\S+): .*\n  broken:\n((?:    .*\n)+)  mended:\n((?:    .*\n)+)", text, re.M
    )
    assert len(cases) == 9
    for name, broken, mended in cases:
        assert " float " in broken, name
        assert " float " not in mended, name


def test_c_and_cpp(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    pytest.importorskip("sklearn")
    if not all(map(shutil.which, ("cmake", "gcc", "g++"))):
        pytest.skip("cmake, gcc or g++ is not installed")
    text = run("c/build_and_run.py", "--digits", 20, folder=tmp_path)
    for language in ("C", "C++", "ctypes"):
        assert f"{language}: 20 of 20 probabilities are bnnkit's, to the last bit" in text
