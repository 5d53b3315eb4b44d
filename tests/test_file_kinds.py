"""What a file is called that is of another kind than expected, and which command takes it."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command_line import fail

import bnnkit.runtime as rt
from bnnkit.errors import ArtifactError, UsageError
from bnnkit.files.kinds import ONNX, check_suffix, kind_of, kind_of_path


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.zeros(3))
    return file.getvalue()


def _torch_zip() -> bytes:
    """The first entry of a file that torch.save wrote."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("network/data.pkl", b"")
    return file.getvalue()


def _safetensors(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


KINDS = {
    b"": "an empty file",
    _safetensors(b'{"__metadata__":{"bnnkit":"{}"}}'): "a checkpoint of bnnkit",
    _safetensors(b'{"a":{"dtype":"F32"}}'): "a safetensors file",
    b"\x1c\0\0\0TFL3" + bytes(20): "a .tflite model file",
    b"\x1c\0\0\0ORTM" + bytes(20): "ONNX Runtime's own format",
    b"\x93NUMPY\1\0": "a .npy array, which `bnnkit run` takes",
    _npz(): "an .npz archive",
    _torch_zip(): "a file of torch.save",
    b"PK\x03\x04" + bytes(30): "a zip archive",
    pickle.dumps([1]): "a Python pickle",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x89PNG\r\n\x1a\n": "an image",
    b"\x1f\x8b\x08": "a gzip archive",
    b"version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
    b"\n<!DOCTYPE HTML>": "an HTML page",
    b"model: {name: mlp}\n": "a text file",
}


@pytest.mark.parametrize(("start", "words"), KINDS.items(), ids=KINDS.values())
def test_a_kind_is_told_by_the_first_bytes(start: bytes, words: str, tmp_path: Path) -> None:
    assert words in kind_of(start)
    (tmp_path / "m.onnx").write_bytes(start)
    assert kind_of_path(tmp_path / "m.onnx") == kind_of(start)
    with pytest.raises(ArtifactError, match=r"m\.onnx") as caught:
        rt.load(tmp_path / "m.onnx")
    assert words in str(caught.value) or words == "a .tflite model file"
    assert "\n" not in str(caught.value)


def test_what_is_unknown_has_no_name(digits_model: Path) -> None:
    assert kind_of(bytes(range(200, 256))) == ""
    assert kind_of_path("nowhere") == ""
    assert kind_of(digits_model.read_bytes()[:4096]) == ONNX


def test_each_command_names_what_it_was_given(
    digits_model: Path, digits_run: Path, tmp_path: Path
) -> None:
    checkpoint, array, text = digits_run / "checkpoint.safetensors", "a.npy", "t.yaml"
    np.save(tmp_path / array, np.zeros((2, 1, 8, 8), np.uint8))
    (tmp_path / text).write_text("a: 1\n")
    out, images = tmp_path / "out.npy", tmp_path / array
    own = "a checkpoint of bnnkit, from which `bnnkit export` writes a model file"
    assert own in fail("run", checkpoint, images, "-o", out)
    assert own in fail("verify", digits_model, checkpoint)
    assert own in fail("convert", checkpoint, "-o", tmp_path / "m.onnx")
    assert "the folder of a run" in fail("bench", digits_run)
    assert "the folder of a run" in fail("convert", digits_run, "-o", tmp_path / "m.onnx")
    words = fail("convert", tmp_path / text, "-o", tmp_path / "m.onnx")
    assert words.endswith("t.yaml is not an ONNX file; it is a text file")
    words = fail("export", tmp_path / text, "-o", tmp_path / "m.onnx")
    assert words == f"expected a checkpoint, got {tmp_path / text}; it is a text file"
    assert not (tmp_path / "m.onnx").exists()
    assert f"it is {ONNX}" in fail("run", digits_model, digits_model, "-o", out)
    assert f"it is {ONNX}" in fail("train", digits_model, "--out", tmp_path / "run")
    assert "a .npy array" in fail("info", images)
    assert "a text file" in fail("info", tmp_path / text)
    broken = tmp_path / "checkpoint.safetensors"
    broken.write_bytes(digits_model.read_bytes())
    assert f"it is {ONNX}" in fail("info", broken)


@pytest.mark.parametrize("name", ["m.tflite", "m.npy", "m.safetensors", "m.PT", "m.c"])
def test_a_suffix_of_another_format_is_refused(name: str, tmp_path: Path, model: Path) -> None:
    source, out = tmp_path / "source.onnx", tmp_path / name
    source.write_bytes(b"")
    said = f"expected an output file of the format onnx, got {out}, whose suffix names"
    assert said in fail("convert", source, "-o", out)
    assert not out.exists()


def test_suffixes_that_name_nothing_or_the_format() -> None:
    for name in ("m", "m.onnx", "m.ONNX", "m.model", "m.1"):
        check_suffix(name, "onnx")
    with pytest.raises(UsageError, match=r"format json, got m\.onnx, whose suffix names onnx"):
        check_suffix(Path("m.onnx"), "json")
