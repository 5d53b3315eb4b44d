"""Hints: plain files that `bnnkit convert` could pack, and what it needs."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from artifacts import digits_like
from command_line import fail, run
from onnx_graphs import network

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.packable import packable_layers
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import load

RNG = np.random.default_rng(0)
SIGNS = RNG.choice([-1.0, 1.0], (12, 8)).astype(np.float32)
SCALES = np.array([0.5, 0.1, 1, 2, 3, 0.7, 0.3, 9], np.float32)
PLAIN = {
    "MatMul": ("y = MatMul(x, w)", SIGNS * SCALES, 1),
    "Gemm": ("y = Gemm<transB = 1>(x, w)", (SIGNS * SCALES).T.copy(), 1),
    "computed": ("v = Sign(w) u = Mul(v, half) y = MatMul(x, u)", RNG.normal(size=(12, 8)), 1),
    "two layers": ("u = MatMul(x, w) y = Gemm<transB = 1>(u, w)", SIGNS, 2),
    "real": ("y = MatMul(x, w)", RNG.normal(size=(12, 8)), 0),
    "rows of one": ("y = MatMul(x, w)", np.ones((1, 8)), 0),
    "zeros": ("y = MatMul(x, w)", np.eye(12, 8), 0),
    "zeros for signs": ("s = Sign(x) y = MatMul(s, w)", np.eye(12, 8), 1),
    "two numbers": ("y = MatMul(x, w)", SIGNS + 3, 0),
    "two numbers for signs": ("s = Sign(x) y = MatMul(s, w)", SIGNS + 3, 1),
    "real after the first row": ("y = MatMul(x, w)", SIGNS + 0.1 * np.eye(12, 8, 3), 0),
    "no layer": ("y = Relu(x)", SIGNS, 0),
}


@pytest.mark.parametrize("form", PLAIN)
def test_layers_that_could_be_packed(form: str) -> None:
    body, weight, n_layers = PLAIN[form]
    n_inputs = 1 if form == "rows of one" else 12
    types = (f"float[N, {n_inputs}] x", "float[N, M] y")
    model = network(body, *types, {"w": weight.astype(np.float32)})
    assert packable_layers(Artifact(model)) == n_layers


def test_artifacts_are_packed() -> None:
    artifact, _ = digits_like()
    assert packable_layers(artifact) == 0
    body = "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) y = MatMul(s, w)"
    source = network(body, "float[N, 12] x", "float[N, 8] y", {"w": SIGNS})
    assert packable_layers(Artifact(source)) == 1
    assert packable_layers(from_onnx(source)[0]) == 0


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    model = network("y = MatMul(x, w)", "float[N, 12] x", "float[N, 8] y", {"w": SIGNS})
    onnx.save(model, tmp_path / "plain.onnx")
    return tmp_path / "plain.onnx"


def test_a_plain_file_is_named_when_it_is_loaded(plain: Path) -> None:
    with pytest.warns(UserWarning, match=r"plain.onnx has a layer .* `bnnkit convert` packs it"):
        load(plain)


def test_commands_write_a_note(plain: Path) -> None:
    result = run("info", plain)
    assert result.exit_code == 0
    assert "note: " in result.stderr
    assert "`bnnkit convert` packs it" in " ".join(result.stderr.split())


def test_convert_names_missing_packages_first(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_torch(name: str) -> object:
        return None if name == "torch" else find_spec(name)

    monkeypatch.setattr("bnnkit.cli.convert.find_spec", without_torch)
    words = fail("convert", plain, "-o", plain.parent / "missing" / "b.onnx")
    assert words.startswith("convert needs torch: pip install 'bnnkit[export]', or convert on")
