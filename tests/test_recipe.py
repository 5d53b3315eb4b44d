"""`bnnkit recipe`: configurations that train a user's network and its binary twin."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import fail, run
from test_streamed import Mapped, Ordered

from bnnkit import data
from bnnkit.data import trust_code
from bnnkit.data.own_streams import from_torch_datasets
from bnnkit.models import twin_with_changes
from bnnkit.training import load_checkpoint, load_config, make_recipe
from bnnkit.training.config import DataConfig
from bnnkit.training.model_config import ModelConfig
from bnnkit.training.run import _check

EXAMPLES = Path(__file__).parents[1] / "examples"
MODULE = """
from torch import nn
import bnnkit.nn as bnn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + x)


def make(input_shape, n_classes, zero_point, *, width=8):
    return nn.Sequential(
        bnn.IntegerConv2d(input_shape[0], width, 3, padding=1, zero_point=zero_point),
        nn.BatchNorm2d(width), nn.ReLU(), Block(width), Block(width),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, n_classes),
    )


def of_1000_classes(zero_point):
    return make((1, 8, 8), 1000, zero_point)


def takes_floats(n_classes):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, n_classes))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module in the working directory, which is empty but for it."""
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_it_writes_configurations_and_says_what_changes(module: str) -> None:
    found = run(
        *("recipe", f"{module}:make", "width=4", "--data", "digits", "-o", "my recipe"),
        *("--epochs", 11, "--trust-code", module),
    )
    assert found.exit_code == 0, found.output
    assert "3.conv1 binary" in " ".join(found.stdout.split())
    assert "0 real the first layer" in " ".join(found.stdout.split())
    assert "activations that become RPReLU: 2, 3.relu\n" in found.stdout
    assert "binary layers with a new skip: 3.conv1, 4.conv1\n" in found.stdout
    trusted = f"--trust-code {module}"
    commands = [line.strip() for line in found.stdout.split("; run\n")[1].splitlines()]
    assert commands == [
        f"bnnkit train 'my recipe/float.yaml' --out 'my recipe/float' {trusted}",
        f"bnnkit train 'my recipe/binary.yaml' --out 'my recipe/binary' {trusted}",
        f"bnnkit export 'my recipe/binary' -o 'my recipe/binary.onnx' {trusted}",
        f"bnnkit verify 'my recipe/binary' 'my recipe/binary.onnx' {trusted}",
        "bnnkit eval 'my recipe/binary.onnx' --data digits",
    ]
    first, second = (
        load_config(Path("my recipe", f"{name}.yaml")) for name in ("float", "binary")
    )
    assert first.model.options == second.model.options == {"width": 4}
    assert first.model.binarize is None
    assert second.model.binarize is not None
    assert (first.epochs, second.epochs) == (5, 11)
    assert second.distillation is not None
    assert second.distillation.teachers == [second.start_from] == ["my recipe/float"]
    assert all(command in _comments("my recipe") for command in commands[:2])


def _comments(folder: str) -> str:
    return "".join(file.read_text() for file in Path(folder).glob("*.yaml"))


def test_its_json_and_a_network_of_bnnkit(tmp_path: Path) -> None:
    found = run(
        *("recipe", "vgg-small-real", "width=4", "--data", "digits", "-o", tmp_path / "r"),
        "--json",
    )
    said: dict[str, Any] = json.loads(found.stdout)
    assert said["files"] == [str(tmp_path / "r" / name) for name in ("float.yaml", "binary.yaml")]
    assert said["changes"]["real"] == {
        "features.0": "the first layer",
        "classifier": "the last layer",
    }
    assert len(said["changes"]["binary"]) == 5


def test_what_is_refused(module: str) -> None:
    def refused(name: str, *more: object) -> str:
        given = ("recipe", name, *more, "--data", "digits", "-o", "r", "--trust-code", module)
        return fail(*given)

    assert "accepts inputs of shape (1, 1, 8, 8) and dtype uint8, got" in refused(
        f"{module}:takes_floats"
    )
    assert "output for each class, (1, 10) for one input, got (1, 1000); a function" in refused(
        f"{module}:of_1000_classes"
    )
    assert "is binary already" in refused("mlp")
    assert "model out of mlp" in refused("unknown")
    assert "expected an override key=value" in refused(f"{module}:make", "width")
    assert "expected arguments of the network, got binarize" in refused("mlp", "binarize=1")
    assert not Path("r").exists()
    Path("r").mkdir()
    Path("r", "binary.yaml").write_text("mine")
    assert "binary.yaml exists; remove it" in refused(f"{module}:make")
    assert [file.name for file in Path("r").iterdir()] == ["binary.yaml"]
    assert Path("r", "binary.yaml").read_text() == "mine"


@pytest.mark.parametrize("is_stream", [False, True])
def test_data_that_are_read_while_they_are_used(is_stream: bool, tmp_path: Path) -> None:
    digits = data.load("digits")
    kind = Ordered if is_stream else Mapped
    parts = {part: kind(digits.x_train[:40], digits.y_train[:40]) for part in ("train", "test")}
    dataset = from_torch_datasets("m:load", {**parts, "classes": digits.classes}, workers=0)
    model = ModelConfig.model_validate({"name": "vgg-small-real", "width": 4})
    made = make_recipe(model, DataConfig(name="m:load"), dataset, tmp_path / "r")
    first, second = map(load_config, made.files)
    for config in (first, second):
        assert config.validation == (0 if is_stream else 0.1)
        _check(config, dataset)
    assert not first.store_logits


@pytest.mark.slow
def test_its_commands_train_export_and_verify(module: str) -> None:
    said = json.loads(
        run(
            *("recipe", f"{module}:make", "width=16", "--data", "digits", "-o", "r"),
            *("--epochs", 30, "--trust-code", module, "--json"),
        ).stdout
    )
    for line in said["commands"]:
        words = shlex.split(line)[1:]
        result = run(*words, *(["device=cpu", "compile=false"] if words[0] == "train" else []))
        assert result.exit_code == 0, result.output
    with trust_code(module):
        found = [load_checkpoint(Path("r", name)).metadata for name in ("float", "binary")]
    real, binary = (metadata.accuracy or 0 for metadata in found)
    assert real > 0.95
    assert binary > 0.75


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_binary", "n_skips"),
    [
        ("resnet18", 16, 8),
        ("vgg11_bn", 7, 4),
        ("regnet_x_400mf", 66, 41),
        ("mobilenet_v2", 34, 0),
        ("densenet", 98, 1),
    ],
)
def test_networks_of_torchvision(
    name: str, n_binary: int, n_skips: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed", exc_type=ImportError)
    monkeypatch.syspath_prepend(EXAMPLES)
    import torchvision_cifar10

    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    network = getattr(torchvision_cifar10, name)(zero_point=[1, 2, 3], n_classes=10)
    twin, changes = twin_with_changes(network, images[:1])
    assert (len(changes.binary), len(changes.skips)) == (n_binary, n_skips)
    assert twin(images).shape == (2, 10)


@pytest.mark.slow
def test_a_pretrained_network_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed", exc_type=ImportError)
    monkeypatch.syspath_prepend(EXAMPLES)
    import torchvision_cifar10
    from torchvision import models  # type: ignore[import-not-found]

    made = models.resnet18
    monkeypatch.setattr(models, "resnet18", lambda weights: made())  # no download
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    network = torchvision_cifar10.resnet18_pretrained(zero_point=[1, 2, 3], n_classes=10)
    assert network.conv1.zero_point.tolist() == [124, 116, 104]
    twin, changes = twin_with_changes(network, images[:1])
    assert len(changes.binary) == 16
    assert twin(images).shape == (2, 10)
