"""The README's commands, examples and links work."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from bnnkit.cli.group import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_example_runs_and_learns(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    parts = re.findall(r"```python\n(.*?)```", README, re.DOTALL)  # the second goes on
    (tmp_path / "example.py").write_text("\n".join(parts))
    run = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    (accuracy,) = re.findall(r"test accuracy (\S+)", run.stdout)
    assert float(accuracy) > 0.9
    line = r"^accuracy (\S+) with (\S+) samples on average$"
    ((accuracy, samples),) = re.findall(line, run.stdout, re.MULTILINE)
    assert 2 <= float(samples) <= 10
    assert float(accuracy) > 0.9
    stored = {
        t.name: len(t.raw_data) for t in onnx.load(tmp_path / "digits.onnx").graph.initializer
    }
    assert stored["3.weight"] == 32 * 64 * 3 * 3 // 8  # 1 bit for a binary weight
    named = {name: stored.pop(name) for name in ("3.weight", "8.weight", "noise.logistic")}
    assert named["8.weight"] == 4 * 64 * 4 * 4 * 10  # the last layer is real-valued
    assert named["noise.logistic"] == 4 * 4096
    assert sum(stored.values()) < 2_000
    size = (tmp_path / "digits.onnx").stat().st_size
    assert size - sum(named.values()) < 20_000  # mostly the functions for stock ONNX Runtime


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named(command: str) -> None:
    assert f"`bnnkit {command}" in README


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
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


def test_the_change_log_names_modules_that_exist() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = re.findall(r"^  \| `(bnnkit\S+)`.* \| (`bnnkit.*) \|$", changes, re.MULTILINE)
    assert len(rows) > 10
    for before, now in rows:
        for module in re.findall(r"`(bnnkit[\w.]+)`", now):
            assert importlib.util.find_spec(module), f"{before} has moved elsewhere than {module}"
