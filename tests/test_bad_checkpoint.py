"""Checkpoints that are damaged, or belong to another model, are refused in one line."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from command_line import fail, is_empty

NOT_CHECKPOINTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "no such checkpoint"),
    "empty": (lambda path: path.write_bytes(b""), "truncated or not a safetensors file"),
    "text": (lambda path: path.write_text("hello\n" * 9), "truncated or not a safetensors file"),
    "half": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "truncated or not a safetensors file",
    ),
}


@pytest.mark.parametrize("kind", NOT_CHECKPOINTS)
@pytest.mark.parametrize("command", ["export", "eval", "verify", "info"])
def test_no_checkpoint(
    command: str, kind: str, digits_run: Path, model: Path, out: Path, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes((digits_run / "checkpoint.safetensors").read_bytes())
    make, expected = NOT_CHECKPOINTS[kind]
    make(path)
    rest = {"export": ["-o", str(out.with_suffix(".onnx"))], "verify": [str(model)]}.get(
        command, []
    )
    said = fail(command, path, *rest)
    assert str(path) in said
    assert expected in said
    assert is_empty(out.parent)


def test_checkpoint_of_another_model(digits_run: Path, tmp_path: Path, out: Path) -> None:
    import safetensors
    import safetensors.torch

    source = digits_run / "checkpoint.safetensors"
    with safetensors.safe_open(source, framework="pt") as file:
        about = {
            key: text.replace("width: 8", "width: 16") for key, text in file.metadata().items()
        }
    path = tmp_path / "checkpoint.safetensors"
    safetensors.torch.save_file(safetensors.torch.load_file(source), path, about)
    said = fail("export", path, "-o", out.with_suffix(".onnx"))
    assert "does not fit the model convnet" in said
    assert is_empty(out.parent)


def test_model_of_another_checkpoint(digits_run: Path, digits_model: Path, tmp_path: Path) -> None:
    network = onnx.load(digits_model)
    for entry in network.metadata_props:
        if entry.key == "bnnkit.checkpoint":
            entry.value = "f" * 64
    onnx.save(network, tmp_path / "other.onnx")
    said = fail("verify", digits_run, tmp_path / "other.onnx")
    assert "is not the checkpoint that the model was exported from" in said


@pytest.mark.parametrize("content", [b"", b"\x10garbage", None], ids=["empty", "text", "half"])
def test_a_damaged_checkpoint_is_said_to_be_one(
    content: bytes | None, digits_run: Path, digits_model: Path, tmp_path: Path
) -> None:
    whole = (digits_run / "checkpoint.safetensors").read_bytes()
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert "is truncated or not a safetensors file" in fail("verify", path, digits_model)


def test_a_model_of_no_checkpoint(digits_run: Path, model: Path) -> None:
    said = fail("verify", digits_run, model)
    assert said.startswith(f"{model} does not say which checkpoint it was made from")
