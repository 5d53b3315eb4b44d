"""LCE as an engine: .tflite files as they are, .onnx files converted; in the commands too."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from artifacts import digits_like
from click.testing import CliRunner, Result
from lce_files import assert_outputs, stored
from tflite_runs import needs_lce

from bnnkit.artifact.operators.functions import function, names
from bnnkit.artifact.reference import Reference
from bnnkit.cli.group import bnnkit_command
from bnnkit.engines import open_file
from bnnkit.engines.lce import KERNELS, Interpreter, LarqComputeEngine
from bnnkit.engines.lce_file import LceOnFile
from bnnkit.errors import MissingExtraError, UsageError
from bnnkit.export.tflite import to_tflite
from bnnkit.runtime.open_file import read as read_artifact
from bnnkit.tflite.outputs import packed_tensors, with_outputs
from bnnkit.tflite.read import read
from bnnkit.verification.verify import verify

DATA = Path(__file__).parent / "data" / "lce"
FILES = sorted(DATA.glob("*.tflite"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(bnnkit_command, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@needs_lce
@each_file
def test_a_file_gives_what_is_stored(path: Path) -> None:
    expected = stored(path)
    artifact = read_artifact(path)
    assert artifact.tflite_source == path.read_bytes()
    engine = LceOnFile(artifact, kernel="reference")
    engine.check(expected["images"])
    assert_outputs(engine.run(expected["images"]), expected)
    wanted = Reference(artifact).trace(expected["images"])
    traced = engine.trace(expected["images"])
    # What the artifact has between a tensor's nodes bears a slash; the tensors' own names do not.
    assert traced.keys() == {name for name in wanted if "/" not in name}
    for name, signs in traced.items():
        np.testing.assert_array_equal(signs, wanted[name], err_msg=name)


@needs_lce
@pytest.mark.parametrize("kernel", KERNELS)
def test_more_outputs_change_none_of_those_that_were_there(kernel: str) -> None:
    content = (DATA / "packed.tflite").read_bytes()
    tensors = list(packed_tensors(read(content)).values())
    assert len(tensors) > 1
    images = stored(DATA / "packed.tflite")["images"][:1]
    extended = Interpreter(with_outputs(content, tensors), kernel=kernel)  # type: ignore[arg-type]
    plain = Interpreter(content, kernel=kernel).run([images])  # type: ignore[arg-type]
    more = extended.run([images])
    assert len(more) == len(plain) + len(tensors)
    for one, other in zip(plain, more, strict=False):
        np.testing.assert_array_equal(one, other)


@needs_lce
def test_images_that_do_not_fill_the_batch_of_the_file(tmp_path: Path) -> None:
    model, images = digits_like()
    path = tmp_path / "four.tflite"
    path.write_bytes(to_tflite(model, batch=4).content)
    nhwc = images[:7].transpose(0, 2, 3, 1)
    engine = open_file("lce", path)
    (found,) = engine.run(np.ascontiguousarray(nhwc))
    np.testing.assert_allclose(found, Reference(model).run(images[:7])[0], atol=1e-4)
    for signs in engine.trace(np.ascontiguousarray(nhwc)).values():
        assert len(signs) == 7


@needs_lce
def test_run_with_lce(tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    path = shutil.copy(DATA / "quicknet.tflite", tmp_path / "net.tflite")
    expected = stored(DATA / "quicknet.tflite")
    np.save(tmp_path / "x.npy", expected["images"])
    command("run", path, tmp_path / "x.npy", "-o", out, "--engine", "lce")
    assert_outputs((np.load(out),), expected)


@needs_lce
def test_run_converts_onnx_files(tmp_path: Path) -> None:
    model, images = digits_like()
    model.model.functions.extend(function(name) for name in names())
    (tmp_path / "net.onnx").write_bytes(model.model.SerializeToString())
    np.save(tmp_path / "x.npy", images)
    out = tmp_path / "out.npy"
    command("run", tmp_path / "net.onnx", tmp_path / "x.npy", "-o", out, "--engine", "lce")
    np.testing.assert_allclose(np.load(out), Reference(model).run(images)[0], atol=1e-4)


@pytest.mark.slow
@needs_lce
def test_bench_measures_lce_on_the_file(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    for name in ("birealnet", "quicknet_int8"):
        command("bench", DATA / f"{name}.tflite", "--seconds", "0.01", "--json", out)
        found = json.loads(out.read_text())
        assert found["left_out"] == {}
        assert {ratio["engine"] for ratio in found["ratios"]} == {"bnnkit"}
        assert {ratio["against"] for ratio in found["ratios"]} == {"lce", "onnxruntime-fp32"}


@needs_lce
@pytest.mark.parametrize("name", ["quicknet", "birealnet_int8", "groups"])
def test_verify_compares_lce_on_the_file(name: str) -> None:
    result = command("verify", DATA / f"{name}.tflite", "--images", "3", "--json")
    found = json.loads(result.output)
    assert found["is_equal"]
    comparisons = {one["engine"]: one for one in found["comparisons"]}
    assert comparisons["lce, reference kernel"]["n_tensors"] > 0


def test_verify_says_that_lce_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise MissingExtraError("the engine lce", "lce")

    monkeypatch.setattr("bnnkit.verification.candidates.LceOnFile", refuse)
    result = command("verify", DATA / "quicknet.tflite", "--images", "2")
    assert "left out: lce: " in result.output
    asked = ["verify", str(DATA / "quicknet.tflite"), "--images", "2", "--lce"]
    refused = CliRunner().invoke(bnnkit_command, asked)
    assert refused.exit_code == 2
    assert "bnnkit[lce]" in refused.output


@needs_lce
def test_an_engine_that_gives_no_signs_is_not_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What LCE must give is what the file holds, not what it gives."""
    model, images = digits_like()
    model.model.functions.extend(function(name) for name in names())
    monkeypatch.setattr(LarqComputeEngine, "trace", lambda self, images: {})
    found = verify(model, images[:2], with_lce=True)
    (lce,) = (one for one in found.comparisons if one.engine == "lce")
    assert lce.uncovered
    assert not found.is_equal


@needs_lce
@pytest.mark.parametrize("variant", ["lce", pytest.param("builtin", marks=pytest.mark.slow)])
def test_a_file_is_verified_against_its_checkpoint(
    variant: str, digits_run: Path, tmp_path: Path
) -> None:
    """The file says of which checkpoint it is; torch gets its images as it wants them."""
    path = tmp_path / "digits.tflite"
    command("export", digits_run, "--to", "tflite", "--variant", variant, "-o", path)
    found = json.loads(command("verify", digits_run, path, "--json").output)
    assert found["is_equal"]
    assert found["data"] == "the test part of digits"
    torch = next(one for one in found["comparisons"] if one["engine"] == "torch")
    assert (torch["n_bits"] > 0) == (variant == "lce")
    assert torch["n_classes_differ"] == 0
    assert {"torch", "lce, reference kernel"} <= {c["engine"] for c in found["comparisons"]}
    about = json.loads(command("info", path, "--json").output)["metadata"]
    assert about["dataset"] == "digits"
    assert len(about["checkpoint"]) == 64
    scores = [json.loads(command("eval", one, "--json").output) for one in (path, digits_run)]
    assert scores[0]["accuracy"] == scores[1]["accuracy"]
    assert scores[0]["nll"] == pytest.approx(scores[1]["nll"], rel=1e-4)


def test_damaged_metadata_of_a_file_is_refused(digits_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "digits.tflite"
    command("export", digits_run, "--to", "tflite", "-o", path)
    path.write_bytes(path.read_bytes().replace(b'{"bnnkit.', b'["bnnkit.'))
    result = CliRunner().invoke(bnnkit_command, ["info", str(path)])
    assert result.exit_code == 2
    assert "bnnkit's metadata in the TFLite file is damaged" in result.output


def test_an_artifact_without_a_tflite_file_is_refused() -> None:
    with pytest.raises(UsageError, match=r"that was read from a \.tflite file, got another one"):
        LceOnFile(digits_like()[0])
