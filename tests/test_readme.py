"""What the README says can be done, can be done."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bnnkit.cli.group import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_learns(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    run = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    (accuracy,) = re.findall(r"test accuracy (\S+)", run.stdout)
    assert float(accuracy) > 0.9
    assert (
        tmp_path / "digits.onnx"
    ).stat().st_size < 60_000  # of which 41 kB are the real-valued last layer


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named(command: str) -> None:
    assert f"`bnnkit {command}" in README


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_example_of_a_model_of_ones_own(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "own_model.py", "own.onnx"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    kinds = [line.split()[1] for line in run.stdout.splitlines()[:-1]]
    assert kinds == ["integer", "binary", "binary", "float"]
    assert "weights and input are real-valued" in run.stdout
    assert float(run.stdout.split()[-1]) > 0.9
