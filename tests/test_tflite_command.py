"""`bnnkit export --to tflite`."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from artifacts import digits_like, noisy_digits_like
from click.testing import CliRunner
from grids import grid
from onnx import helper
from tflite_runs import needs_lce, open_file

from bnnkit.cli.group import bnnkit_command
from bnnkit.deployment.export_checkpoint import export_checkpoint
from bnnkit.export.from_onnx import convert_onnx
from bnnkit.export.tflite import RandomUniforms, export_tflite, to_tflite
from bnnkit.runtime.open_file import read


def export(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(bnnkit_command, ["export", *map(str, words)])
    return result.exit_code, result.output


def test_an_onnx_model_is_taken_too(tmp_path: Path) -> None:
    artifact, path = digits_like()[0], tmp_path / "m.tflite"
    report = export_tflite(artifact.model, path)
    assert path.read_bytes() == to_tflite(artifact).content == to_tflite(artifact.model).content
    assert report == to_tflite(artifact).report


def test_export_to_tflite(digits_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    words = [digits_run, "--to", "tflite", "-o", path]
    code, output = export(*words)
    assert code == 0, output
    assert "LceBconv2d" in output
    assert f"wrote {path}" in output
    found = json.loads(export(*words, "--json")[1])
    assert path.read_bytes()[4:8] == b"TFL3"
    assert found["file_bytes"] == path.stat().st_size
    assert found["input_shape"] == [1, 8, 8, 1]
    assert found["operators"]["LceBconv2d"] > 0


@pytest.fixture(scope="module")
def noisy(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of `digits_run` with its noise."""
    path = tmp_path_factory.mktemp("noisy") / "noisy.onnx"
    export_checkpoint(digits_run, path, mode="samples")
    return path


@grid(
    "variant, words",
    ["lce", "builtin"],
    [["samples"], ["samples", "--uniform-input"], ["samples", "--seed", "5"]],
)
def test_an_artifact_gives_the_file_of_its_checkpoint(
    digits_run: Path, noisy: Path, tmp_path: Path, variant: str, words: list[str]
) -> None:
    contents: list[bytes] = []
    for source in (digits_run, noisy):
        path = tmp_path / f"{len(contents)}.tflite"
        options = ["--to", "tflite", "--variant", variant, "--mode", *words]
        code, output = export(source, *options, "-o", path)
        assert code == 0, output
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_an_artifact_without_a_mode_has_no_noise(noisy: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    for words in ([], ["--mode", "deterministic"]):
        code, output = export(noisy, "--to", "tflite", *words, "-o", path)
        assert code == 0, output
        assert path.read_bytes() == to_tflite(read(noisy).deterministic).content


def test_a_deterministic_artifact(digits_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    deterministic_path = tmp_path / "d.onnx"
    model = read(digits_model).deterministic
    deterministic_path.write_bytes(model.model.SerializeToString())
    code, output = export(deterministic_path, "--to", "tflite", "--json", "-o", path)
    assert code == 0, output
    assert path.read_bytes() == to_tflite(model).content
    assert json.loads(output)["operators"]["LceBconv2d"] > 0
    code, output = export(deterministic_path, "--to", "tflite", "--mode", "samples", "-o", path)
    assert code == 2
    assert "has no noise" in output


def test_the_suffix_decides_the_format(noisy: Path, tmp_path: Path) -> None:
    named, asked = tmp_path / "named.tflite", tmp_path / "asked.tflite"
    assert export(noisy, "-o", named)[0] == 0
    assert export(noisy, "--to", "tflite", "-o", asked)[0] == 0
    assert named.read_bytes() == asked.read_bytes()


@pytest.mark.parametrize(("target", "name"), [("tflite", "m.onnx"), ("onnx", "m.tflite")])
def test_a_suffix_of_another_format_is_refused(
    noisy: Path, tmp_path: Path, target: str, name: str
) -> None:
    code, output = export(noisy, "--to", target, "-o", tmp_path / name)
    assert code == 2
    assert "change --to or the suffix" in " ".join(output.split())
    assert not (tmp_path / name).exists()


def test_a_missing_folder_is_named_before_the_work(tmp_path: Path) -> None:
    code, output = export(tmp_path / "no run", "-o", tmp_path / "no folder" / "m.onnx")
    assert code == 2
    assert "there is no folder" in output


def test_a_converted_network(tmp_path: Path) -> None:
    """Networks of others have no checkpoint."""
    stored = Path(__file__).parent / "data" / "brevitas" / "tfc_1w1a.dynamo.onnx.gz"
    source, onnx_path, path = (tmp_path / name for name in ("s.onnx", "m.onnx", "m.tflite"))
    source.write_bytes(gzip.decompress(stored.read_bytes()))
    convert_onnx(source, onnx_path)
    code, output = export(onnx_path, "--to", "tflite", "-o", path)
    assert code == 0, output
    assert path.read_bytes() == to_tflite(read(onnx_path)).content


def test_model_files_are_refused_in_one_line(noisy: Path, tmp_path: Path) -> None:
    out, tflite = tmp_path / "out.tflite", tmp_path / "m.tflite"
    tflite.write_bytes(to_tflite(digits_like()[0]).content)
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(noisy.read_bytes()[:999])
    to = ["--to", "tflite"]
    cases: list[tuple[list[object], str]] = [
        ([noisy, "-o", tmp_path / "m.onnx"], "expected a checkpoint, got the model file"),
        ([noisy, *to, "--calibrate", "digits"], "--calibrate: expected a checkpoint"),
        ([noisy, *to, "--sample-weights", "3"], "--sample-weights: expected a checkpoint"),
        ([noisy, *to, "--mode", "samples", "--seed", "-1"], "expected a seed from 0"),
        ([tflite, *to], "is a TFLite file already"),
        ([tmp_path / "none.onnx", *to], "cannot read"),
        ([torn, *to], "truncated"),
    ]
    for words, said in cases:
        code, output = export("-o", out, *words)  # the last -o counts
        assert code == 2, output
        assert said in " ".join(output.split()), output
        assert "safetensors" not in output
        assert not out.exists()


def test_a_seed_of_a_file_without_noise_gets_a_note(noisy: Path, tmp_path: Path) -> None:
    plain, seeded = tmp_path / "plain.tflite", tmp_path / "seeded.tflite"
    assert export(noisy, "--to", "tflite", "-o", plain)[0] == 0
    code, output = export(noisy, "--to", "tflite", "--seed", "3", "-o", seeded)
    assert code == 0, output
    assert "note: --seed has no effect" in output
    assert plain.read_bytes() == seeded.read_bytes()


@needs_lce
@pytest.mark.parametrize("seed", [1, 7, 2**63 + 5, 2**64 - 1])
def test_equal_seeds_repeat_and_others_do_not(noisy: Path, tmp_path: Path, seed: int) -> None:
    runs = {}
    for name, number in (("one", seed), ("same", seed), ("other", seed - 1), ("fresh", 0)):
        path = tmp_path / f"{name}.tflite"
        words = ["--to", "tflite", "--mode", "samples", "--seed", number]
        code, output = export(noisy, *words, "-o", path)
        assert code == 0, output
        engine = open_file(path.read_bytes())
        image = np.full((1, 8, 8, 1), 100, np.uint8)
        runs[name] = np.array([engine.predict([image])[0] for _ in range(20)])
    np.testing.assert_array_equal(runs["one"], runs["same"])
    assert len(np.unique(runs["one"], axis=0)) > 10
    for name in ("other", "fresh"):
        assert (runs["one"] != runs[name]).any()


def test_the_seed_is_in_the_file() -> None:
    model, _ = noisy_digits_like()
    helper.set_model_props(model.model, {"bnnkit.mode": "samples"})
    contents = [to_tflite(model, uniforms=RandomUniforms(seed)).content for seed in (5, 5, 6)]
    assert contents[0] == contents[1] != contents[2]
