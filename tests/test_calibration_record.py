"""The calibration record of an artifact, and its batch norms given to a torch network."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from bnnkit import data
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.calibration_record import (
    KEY,
    CalibrationRecord,
    CalibrationSource,
    NormStatistics,
    read_calibration,
)
from bnnkit.cli.group import bnnkit_command
from bnnkit.errors import ArtifactError
from bnnkit.runtime.open_file import read

Content = dict[str, Any]
Change = Callable[[Content], object]
ENTRY = f"bnnkit.{KEY}"


def bnnkit(*arguments: object) -> Result:
    return CliRunner().invoke(bnnkit_command, [str(argument) for argument in arguments])


@pytest.fixture(
    scope="module", params=["samples", pytest.param("deterministic", marks=pytest.mark.exhaustive)]
)
def calibrated(
    request: pytest.FixtureRequest, digits_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The mode, and the file of `digits_run`, calibrated on some of the digits."""
    folder = tmp_path_factory.mktemp(request.param)
    few = data.load("digits").x_train[:120]
    np.savez(folder / "few.npz", x=few, y=np.arange(120) % 10)
    path = folder / "model.onnx"
    options = ("--mode", request.param, "--calibrate", folder / "few.npz", "--seed", 3)
    result = bnnkit("export", digits_run, "-o", path, *options)
    assert result.exit_code == 0, result.output
    return request.param, path


def changed(path: Path, change: Change | str, to: Path) -> Path:
    """A model file with another entry: a text, or its content changed in place."""
    model = onnx.load(path)
    entry = next(entry for entry in model.metadata_props if entry.key == ENTRY)
    if isinstance(change, str):
        entry.value = change
    else:
        content = json.loads(entry.value)
        change(content)
        entry.value = json.dumps(content)
    onnx.save(model, to)
    return to


def test_a_record_is_read_as_it_was_written() -> None:
    rng = np.random.default_rng(0)
    mean, variance = rng.standard_normal(5).astype(np.float32), rng.random(5, np.float32)
    source = CalibrationSource(data="dígitos", mode="samples", seed=2**64 - 1, images=7)
    record = CalibrationRecord(source=source, statistics={"a.b": NormStatistics(mean, variance)})
    model = onnx.ModelProto()
    assert read_calibration(Artifact(model)) is None
    model.metadata_props.add(key=ENTRY, value=record.to_json())
    found = read_calibration(Artifact(model))
    assert found is not None
    assert found.source == source
    np.testing.assert_array_equal(found.statistics["a.b"].mean, mean)
    np.testing.assert_array_equal(found.statistics["a.b"].variance, variance)


def test_the_entry_is_as_documented(calibrated: tuple[str, Path]) -> None:
    mode, path = calibrated
    content = json.loads(read(path).metadata[KEY])
    statistics = content.pop("statistics")
    assert content == {"data": "few", "mode": mode, "seed": 3, "images": 96}
    for text in statistics.values():
        mean, variance = np.frombuffer(base64.b64decode(text), "<f4").reshape(2, -1)
        assert len(mean) == len(variance) > 0
        assert (variance > 0).all()


@pytest.mark.slow
def test_a_calibrated_file_verifies_equal(digits_run: Path, calibrated: tuple[str, Path]) -> None:
    mode, path = calibrated
    arguments = ("verify", digits_run, path, "--data", "digits", "--images", 40)
    result = bnnkit(*arguments)
    assert result.exit_code == 0, result.output
    assert result.output.endswith("\nequal\n")
    assert f"\ntorch: batch norms calibrated on few, mode {mode}\n" in result.output
    told = json.loads(bnnkit(*arguments, "--json").output)
    assert told["calibration"]["mode"] == mode
    assert told["comparisons"][0]["engine"] == "torch"
    # Without a checkpoint there is no batch norm to speak of.
    assert "batch norms" not in bnnkit("verify", *arguments[2:]).output


def test_without_the_record_torch_has_another_network(
    digits_run: Path, calibrated: tuple[str, Path], tmp_path: Path
) -> None:
    model = onnx.load(calibrated[1])
    kept = [entry for entry in model.metadata_props if entry.key != ENTRY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "model.onnx")
    result = bnnkit("verify", digits_run, tmp_path / "model.onnx", "--images", 40)
    assert result.exit_code == 1
    assert "\nNOT equal\n" in result.output


def test_eval_and_info_tell_the_calibration(calibrated: tuple[str, Path]) -> None:
    mode, path = calibrated
    evaluated = bnnkit("eval", path, "--data", "digits").output
    assert f"batch norms: calibrated on few, mode {mode}" in evaluated
    told = json.loads(bnnkit("eval", path, "--data", "digits", "--json").output)
    expected = {"data": "few", "mode": mode, "seed": 3, "images": 96}
    assert told["calibration"] == expected
    assert json.loads(bnnkit("info", path, "--json").output)["metadata"][KEY] == expected
    described = bnnkit("info", path).output
    assert f"calibration: data few; mode {mode}; seed 3; images 96\n" in described


def _first(content: Content) -> str:
    return str(next(iter(content["statistics"])))


def _pack(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


DAMAGE: dict[str, tuple[Change | str, str]] = {
    "no JSON": ("{", "damaged: Expecting"),
    "nested": ("[" * 100_000, "damaged"),
    "a list": ("[]", "expected an object of data, mode, seed, images, statistics"),
    "a key is missing": (lambda c: c.pop("seed"), "expected an object of"),
    "mode": (lambda c: c.update(mode="often"), "a mode out of samples, deterministic"),
    "mode of a list": (lambda c: c.update(mode=[]), "a mode out of samples, deterministic"),
    "seed": (lambda c: c.update(seed=-1), "a seed from 0 to 2^64 - 1"),
    "images": (lambda c: c.update(images=0), "expected a number of images, got 0"),
    "statistics": (lambda c: c.update(statistics=[]), "statistics by the path"),
    "a number": (lambda c: c["statistics"].update({_first(c): 1}), "expected base64 for"),
    "no base64": (lambda c: c["statistics"].update({_first(c): "?"}), "expected base64 for"),
    "no ASCII": (lambda c: c["statistics"].update({_first(c): "é"}), "expected base64 for"),
    "empty": (lambda c: c["statistics"].update({_first(c): ""}), "got 0 bytes"),
    "odd": (lambda c: c["statistics"].update({_first(c): _pack(1, 2, 3)}), "got 12 bytes"),
    "NaN": (lambda c: c["statistics"].update({_first(c): _pack(np.nan, 1)}), "expected finite"),
    "below 0": (lambda c: c["statistics"].update({_first(c): _pack(1, -1)}), "variances from 0"),
    "too few": (lambda c: c["statistics"].update({_first(c): _pack(1, 1)}), "channels of"),
    "a norm is missing": (lambda c: c["statistics"].pop(_first(c)), "of the batch norms"),
    "another norm": (lambda c: c["statistics"].update(x=_pack(1, 1)), "of the batch norms"),
}


@pytest.mark.parametrize(("change", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_record_is_refused_in_one_line(
    digits_run: Path,
    calibrated: tuple[str, Path],
    tmp_path: Path,
    change: Change | str,
    message: str,
) -> None:
    path = changed(calibrated[1], change, tmp_path / "model.onnx")
    result = bnnkit("verify", digits_run, path, "--images", 2)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["eval", "info"])
def test_every_command_that_reads_it_refuses_a_damaged_record(
    calibrated: tuple[str, Path], tmp_path: Path, command: str
) -> None:
    path = changed(calibrated[1], "{", tmp_path / "model.onnx")
    result = bnnkit(command, path)
    assert result.exit_code == 2
    assert result.output.startswith(f"bnnkit {command}: the calibration in the model's metadata")
    assert len(result.output.strip().splitlines()) == 1


def test_a_model_without_a_record_has_none(digits_model: Path) -> None:
    assert read_calibration(Artifact(onnx.load(digits_model))) is None


def test_the_error_is_of_the_artifact() -> None:
    model = onnx.ModelProto()
    model.metadata_props.add(key=ENTRY, value="null")
    with pytest.raises(ArtifactError, match="the calibration in the model's metadata is damaged"):
        read_calibration(Artifact(model))
