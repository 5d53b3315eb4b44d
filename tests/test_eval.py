"""`bnnkit eval`: the data set that it takes by itself, and the pictures that it draws."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from command_line import run

CONFIG = "{{data: {{name: {name}}}, model: {{name: mlp, width: 8}}, epochs: 1, device: cpu}}"


def _failed(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on an .npz file that is named from the working folder, and its model file."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(6)
    y = rng.integers(0, 3, 300)
    x = (100 * (rng.random((300, 1, 2, 2)) + np.eye(3, 4)[y].reshape(-1, 1, 2, 2))).astype("uint8")
    (tmp_path / "sets").mkdir()
    np.savez(tmp_path / "sets" / "blobs.npz", x=x, y=y)
    (tmp_path / "config.yaml").write_text(CONFIG.format(name="sets/blobs.npz"))
    assert run("train", "config.yaml", "--out", "run").exit_code == 0
    assert run("export", "run", "-o", "m.onnx").exit_code == 0
    return tmp_path


def test_a_checkpoint_knows_its_npz_file(blobs: Path) -> None:
    found, given = (
        json.loads(run("eval", "run", *option, "--json").stdout)
        for option in ((), ("--data", "sets/blobs.npz"))
    )
    assert found.pop("microseconds") > 0
    assert given.pop("microseconds") > 0
    assert found == given
    assert run("eval", "m.onnx", "--data", "sets/blobs.npz").exit_code == 0


@pytest.mark.parametrize(("path", "name"), [("run", "sets/blobs.npz"), ("m.onnx", "blobs")])
def test_what_is_not_here_must_be_given(blobs: Path, path: str, name: str) -> None:
    (blobs / "sets" / "blobs.npz").rename(blobs / "elsewhere.npz")
    said = f"was trained on {name}, which is not bundled and not found here: pass --data FILE.npz"
    assert said in _failed(run("eval", path))
    assert run("eval", path, "--data", "elsewhere.npz").exit_code == 0


@pytest.mark.parametrize(
    ("name", "is_right"), [("r.svg", True), ("r.pdf", True), ("r.foo", False)]
)
def test_a_plot_has_the_format_of_its_name(
    digits_model: Path, tmp_path: Path, name: str, is_right: bool
) -> None:
    result = run("eval", digits_model, "--plot", tmp_path / name)
    if is_right:
        assert result.exit_code == 0, result.output
    else:
        assert "expected a name that ends in .png, .svg or .pdf" in _failed(result)
    assert (tmp_path / name).exists() == is_right
