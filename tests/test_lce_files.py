"""Files that LCE's own converter wrote (data/make_lce_files.py) against LCE's interpreter."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from lce_files import DATA, FILES, assert_outputs, count_missing, stored

import bnnkit.runtime as rt
from bnnkit.artifact.reference import Reference
from bnnkit.cli.group import bnnkit_command
from bnnkit.runtime.open_file import read

NETWORKS = sorted(DATA.glob("lce/*.tflite"))
OPERATORS = [path for path in FILES if path not in NETWORKS]
each_network = pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
each_operator = pytest.mark.parametrize("path", OPERATORS, ids=lambda path: path.stem)


def test_there_are_files() -> None:
    assert (len(NETWORKS), len(OPERATORS)) == (18, 43)
    assert sum(path.stat().st_size for path in DATA.glob("lce*/*")) < 1_200_000


@each_network
def test_network_in_the_reference(path: Path) -> None:
    expected = stored(path)
    reference = Reference(read(path))
    assert_outputs(tuple(reference.run(expected["images"])), expected)
    assert count_missing(reference.trace(expected["images"]), expected) == 0


@each_network
def test_network_in_the_runtime(path: Path) -> None:
    expected = stored(path)
    model = rt.load(path)
    assert model.input_shape == expected["images"].shape[1:]
    assert model.input_dtype == expected["images"].dtype
    result = model.run(expected["images"])
    assert_outputs(result if isinstance(result, tuple) else (result,), expected)
    assert count_missing(model.trace(expected["images"]), expected) <= 1  # pooled at once


@each_operator
def test_operator_in_the_reference(path: Path) -> None:
    expected = stored(path)
    results = Reference(read(path)).run(expected["images"])
    assert_outputs(tuple(results), expected)


@each_operator
def test_operator_in_the_runtime(path: Path) -> None:
    expected = stored(path)
    result = rt.load(path).run(expected["images"])
    assert_outputs(result if isinstance(result, tuple) else (result,), expected)


@pytest.mark.parametrize("name", ["quicknet", "packed", "birealnet_int8"])
def test_batch_is_free(name: str) -> None:
    path = DATA / "lce" / f"{name}.tflite"
    images = np.concatenate([stored(path)["images"]] * 2)
    model = rt.load(path)
    one_by_one = np.concatenate([model.run(image[None]) for image in images])
    np.testing.assert_array_equal(model.run(images), one_by_one)


def test_commands(tmp_path: Path) -> None:
    path = shutil.copy(DATA / "lce" / "quicknet.tflite", tmp_path / "net.tflite")
    expected = stored(DATA / "lce" / "quicknet.tflite")
    np.save(tmp_path / "images.npy", expected["images"])
    runner = CliRunner()
    arguments = ["run", str(path), str(tmp_path / "images.npy"), "-o", str(tmp_path / "out.npy")]
    result = runner.invoke(bnnkit_command, arguments)
    assert result.exit_code == 0, result.output
    assert_outputs((np.load(tmp_path / "out.npy"),), expected)
    result = runner.invoke(bnnkit_command, ["info", str(path)])
    assert result.exit_code == 0, result.output
    assert "binary" in result.output
    engines = "bnnkit,onnxruntime-fp32,reference"
    options = ["--engines", engines, "--seconds", "0.01"]
    result = runner.invoke(bnnkit_command, ["bench", str(path), *options])
    assert result.exit_code == 0, result.output
