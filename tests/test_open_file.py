from pathlib import Path

import onnx
import pytest
from artifacts import digits_like
from onnx import helper

import bnnkit.artifact
import bnnkit.runtime
from bnnkit.errors import ArtifactError, BnnkitError
from bnnkit.runtime import load
from bnnkit.runtime.open_file import read

DATA = Path(__file__).parent / "data" / "lce"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(digits_like()[0].model, path)
    return path


def test_a_whole_file_loads(path: Path) -> None:
    assert load(path).input_shape == (1, 8, 8)


def test_an_onnx_file_has_no_tflite_source(path: Path) -> None:
    artifact = read(path)
    assert artifact.tflite_source is None
    assert artifact.to_bytes() == onnx.load(path).SerializeToString(deterministic=True)


def test_the_public_reader_and_type() -> None:
    assert bnnkit.runtime.open_artifact is read
    assert isinstance(read(DATA / "alexnet.tflite"), bnnkit.artifact.Artifact)
    with pytest.raises(AttributeError, match="no attribute 'Artefact'"):
        bnnkit.artifact.Artefact  # noqa: B018


def test_the_content_of_a_tflite_file_is_kept() -> None:
    source = DATA / "alexnet.tflite"
    artifact = read(source)
    assert artifact.tflite_source == source.read_bytes()
    assert artifact.deterministic is artifact


@pytest.mark.parametrize("name", ["missing.onnx", "."])
def test_a_path_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=r"cannot read .*: (No such file|Is a directory)"):
        load(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04N.", bytes(1000)])
def test_other_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is not an ONNX file"):
        load(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99, 0.9999])
def test_truncated_files(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ArtifactError):
        load(path)


def test_a_newer_format(path: Path) -> None:
    model = onnx.load(path)
    model.opset_import[1].version = 2
    onnx.save(model, path)
    with pytest.raises(
        ArtifactError, match="format version 2, this bnnkit reads up to 1: upgrade"
    ):
        load(path)


@pytest.mark.parametrize("version", ["2", "abc"])
def test_another_format_in_the_metadata(path: Path, version: str) -> None:
    model = onnx.load(path)
    helper.set_model_props(model, {"bnnkit.format": version})
    onnx.save(model, path)
    with pytest.raises(ArtifactError, match=f"its format is '{version}', this bnnkit reads 1"):
        load(path)


def test_weights_in_other_files_are_refused(path: Path) -> None:
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match="keeps its weights in other files"):
        load(path)


def test_a_constant_of_the_wrong_length(path: Path) -> None:
    model = onnx.load(path)
    model.graph.initializer[0].raw_data = b"\x00" * 3
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError):
        load(path)


def test_a_missing_weight_shape(path: Path) -> None:
    model = onnx.load(path)
    node = next(node for node in model.graph.node if node.op_type == "BinaryLinear")
    del node.attribute[:]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BnnkitError):
        load(path)


@pytest.mark.parametrize("position", range(0, 4000, 97))
def test_a_flipped_byte_never_crashes(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 0xFF
    path.write_bytes(content)
    failures = []
    try:
        load(path)
    except BnnkitError as error:  # anything else fails the test
        failures.append(str(error))
    assert not any("\n" in message for message in failures)
