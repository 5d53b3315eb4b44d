"""Checkpoints: written and read back, and one error for each way to be wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

import bnnkit
from bnnkit.errors import CheckpointError, FileError
from bnnkit.training import safetensors_file
from bnnkit.training.build_model import build_model
from bnnkit.training.checkpoint import (
    CheckpointMetadata,
    checkpoint_sha256,
    load_checkpoint,
    read_metadata,
    save_checkpoint,
)
from bnnkit.training.config import Config, parse_config

METADATA = CheckpointMetadata(
    dataset="made",
    accuracy=0.75,
    classes=("cat", "größe", "three"),
    input_shape=(1, 8, 8),
    input_dtype="uint8",
    zero_point=(78,),
)
CONFIG = parse_config("model: {name: mlp, width: 16, depth: 2}\nseed: 5\n")


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return build_model(CONFIG.model, METADATA)


@pytest.fixture
def path(tmp_path: Path, model: nn.Module) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, model, CONFIG, METADATA)
    return path


def test_a_checkpoint_comes_back(path: Path, model: nn.Module) -> None:
    images = torch.randint(256, (9, 1, 8, 8), dtype=torch.uint8)
    for where in (path, path.parent):
        loaded, config, metadata = load_checkpoint(where)
        assert (config, metadata) == (CONFIG, METADATA)
        assert not loaded.training
        assert torch.equal(loaded(images), model.eval()(images))
    assert read_metadata(path.parent) == (CONFIG, METADATA)
    assert metadata.version == bnnkit.__version__


def test_real_inputs_have_no_zero_point(tmp_path: Path) -> None:
    metadata = CheckpointMetadata(
        dataset="f", accuracy=0.5, classes=("a", "b"), input_shape=(6,), input_dtype="float32",
        zero_point=None,
    )  # fmt: skip
    model = build_model(CONFIG.model, metadata)
    save_checkpoint(tmp_path / "c.safetensors", model, CONFIG, metadata)
    loaded = load_checkpoint(tmp_path / "c.safetensors")
    assert loaded.metadata == metadata
    x = torch.randn(4, 6)
    assert torch.equal(loaded.model(x), model.eval()(x))


def test_equal_checkpoints_are_equal_bytes(path: Path, model: nn.Module) -> None:
    first = checkpoint_sha256(path.parent)
    save_checkpoint(path, model, CONFIG, METADATA)
    assert checkpoint_sha256(path) == first
    with torch.no_grad():
        next(model.parameters()).flatten()[0] += 1
    save_checkpoint(path, model, CONFIG, METADATA)
    assert checkpoint_sha256(path) != first


def test_loading_leaves_the_random_numbers_alone(path: Path) -> None:
    torch.manual_seed(7)
    want = torch.rand(1)
    torch.manual_seed(7)
    load_checkpoint(path)
    assert torch.equal(torch.rand(1), want)


@pytest.mark.parametrize("read", [load_checkpoint, read_metadata, checkpoint_sha256])
def test_missing(tmp_path: Path, read: Any) -> None:
    with pytest.raises(
        CheckpointError, match=r"c.safetensors: no such checkpoint; expected a run"
    ):
        read(tmp_path / "c.safetensors")
    with pytest.raises(CheckpointError, match=r"checkpoint.safetensors: no such checkpoint"):
        read(tmp_path)
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(CheckpointError, match="is not finished: repeat the command"):
        read(tmp_path)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="is truncated or not a safetensors file"):
        load_checkpoint(path)


def test_no_safetensors_file(path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="is truncated or not a safetensors file"):
        load_checkpoint(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"bnnkit": "[]"}, {"bnnkit": "{"}])
def test_a_safetensors_file_of_someone_else(path: Path, metadata: dict[str, str] | None) -> None:
    safetensors.torch.save_file({"a": torch.zeros(3)}, path, metadata)
    with pytest.raises(CheckpointError, match="but not one of bnnkit's"):
        load_checkpoint(path)


def test_a_state_is_no_checkpoint(path: Path) -> None:
    safetensors_file.write(path, {}, {"epoch": 3})
    with pytest.raises(CheckpointError, match="is not a checkpoint: its metadata lacks"):
        load_checkpoint(path)


def _rewrite(path: Path, tensors: dict[str, Any] | None = None, **about: Any) -> None:
    old_tensors, old_about = safetensors_file.read(path)
    old_about.update(about)
    text = json.dumps(old_about)
    content = safetensors.torch.save(tensors or old_tensors, {"bnnkit": text})
    path.write_bytes(content)


def test_a_newer_format(path: Path) -> None:
    _rewrite(path, format=2)
    with pytest.raises(CheckpointError, match="has format 2, this bnnkit reads format 1: use a"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"config": "model: {name: mlq}"}, r"expected a model out of .*, got 'mlq'"),
        ({"config": "model: {name: mlp, wide: 3}"}, "'wide'"),
        ({"input_shape": [3], "config": "model: {name: convnet}"}, "expected images"),
        ({"config": "future: 3"}, "unknown key future"),
        ({"config": None}, "is not a checkpoint"),
        ({"accuracy": "high"}, "is not a checkpoint"),
        ({"input_shape": 3}, "is not a checkpoint"),
    ],
)
def test_metadata_that_mean_nothing(path: Path, about: dict[str, Any], message: str) -> None:
    _rewrite(path, **about)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("classifier.bias"), r"the model mlp: classifier.bias is missing$"),
        (lambda t: t.update(new=torch.zeros(2)), "new is not part of it$"),
        (
            lambda t: t.update({"classifier.bias": torch.zeros(4)}),
            r"classifier.bias is float32 \(4,\), expected float32 \(3,\)$",
        ),
        (
            lambda t: t.update({"classifier.bias": torch.zeros(3, dtype=torch.float64)}),
            "is float64",
        ),
        (lambda t: (t.pop("classifier.bias"), t.pop("classifier.weight")), "and 1 more"),
    ],
)
def test_tensors_of_another_model(path: Path, change: Any, message: str) -> None:
    tensors, _ = safetensors_file.read(path)
    change(tensors)
    _rewrite(path, tensors)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_a_wider_model(path: Path) -> None:
    _rewrite(path, config="model: {name: mlp, width: 32}")
    with pytest.raises(CheckpointError, match=r"does not fit the model mlp: .* expected float32"):
        load_checkpoint(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path, model: nn.Module) -> None:
    with pytest.raises(FileError, match="cannot write"):
        save_checkpoint(tmp_path / "none" / "c.safetensors", model, Config(), METADATA)
