"""Policies of torchvision: every training image once an epoch, in random groups."""

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from short_runs import interrupted_at
from torch import Tensor

from bnnkit.data import Dataset
from bnnkit.errors import ConfigError, MissingExtraError
from bnnkit.training import train
from bnnkit.training.auto_augment import augment_in_groups, make_policy
from bnnkit.training.batches import Batches
from bnnkit.training.config import Config, parse_config

POLICIES = ("rand-augment", "trivial-augment", "auto-augment-cifar10", "aug-mix")
CONFIG = """
data: {name: digits}
model: {name: mlp, width: 8}
epochs: 2
batch_size: 128
recalibrate: 1
eval_samples: 0
device: cpu
auto_augment: rand-augment
"""


def _is_usable() -> bool:
    try:
        importlib.import_module("torchvision.transforms.v2")
    except (ImportError, RuntimeError):
        return False
    return True


needs_torchvision = pytest.mark.skipif(
    not _is_usable(), reason="torchvision, or one for this torch, is not installed"
)


def _images(n: int, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (n, channels, 8, 8)
    return torch.randint(0, 200, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("n", [5, 700])
def test_every_chosen_image_is_in_one_group(n: int) -> None:
    images, sizes = _images(n + 3), []

    def brighter(group: Tensor) -> Tensor:
        sizes.append(len(group))
        return group + len(sizes) % 50 + 1

    found = augment_in_groups(images, torch.arange(n), brighter)
    assert (sum(sizes), len(sizes)) == (n, min(n, 512))
    assert max(sizes) - min(sizes) <= 1
    change = (found.int() - images.int()).flatten(1)
    assert (change[:n] > 0).all()
    assert (change == change[:, :1]).all()
    assert (change[n:] == 0).all()


def test_groups_are_random_and_follow_the_seed() -> None:
    images, index = _images(40), torch.arange(40)

    def drawn(seed: int) -> list[int]:
        order: list[int] = []

        def noting(group: Tensor) -> Tensor:
            order.append(int(group.sum()))
            return group

        torch.manual_seed(seed)
        augment_in_groups(images, index, noting)
        return order

    with torch.random.fork_rng(devices=[]):
        assert drawn(1) == drawn(1)
        assert drawn(1) != drawn(2)


def _dataset() -> Dataset:
    x, y = _images(30).numpy(), np.arange(30) % 3
    return Dataset(
        name="some", x_train=x[:24], y_train=y[:24], x_test=x[24:], y_test=y[24:],
        classes=("a", "b", "c"),
    )  # fmt: skip


def test_calibration_sees_the_images_without_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bnnkit.training.batches.make_policy", lambda *_: lambda images: images + 7
    )
    dataset, index = _dataset(), torch.arange(24)
    config = Config.model_validate({"batch_size": 24, "auto_augment": "aug-mix"})
    batches = Batches(config, dataset, index, torch.device("cpu"))
    x = torch.from_numpy(dataset.x_train)
    for epoch in (1, 2):
        batches.start_epoch(epoch)
        batch = batches.at(torch.zeros(1, dtype=torch.int64))
        assert torch.equal(batch.x, x[batch.index] + 7)
    assert torch.equal(batches.calibration_inputs(index), x)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(4, 3, 8, 8), r"got float32 \(4, 3, 8, 8\)"),
        (_images(4, channels=2), r"got uint8 \(4, 2, 8, 8\)"),
        (torch.zeros(4, 9, dtype=torch.uint8), r"got uint8 \(4, 9\)"),
    ],
)
def test_inputs_that_are_no_images(images: Tensor, found: str) -> None:
    with pytest.raises(ConfigError, match=f"is for uint8 images .* {found}"):
        make_policy("rand-augment", {}, images, None)


def test_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.transforms.v2", None)
    with pytest.raises(MissingExtraError, match=r"auto_augment needs more .*bnnkit\[augment\]"):
        make_policy("rand-augment", {}, _images(1), None)


def test_with_a_torchvision_for_another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ConfigError, match=r"does not work with torch .*nms does not exist"):
        make_policy("rand-augment", {}, _images(1), None)


@needs_torchvision
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_policies_change_images(policy: str, channels: int) -> None:
    images = _images(64, channels)
    config = parse_config(CONFIG, [f"auto_augment={policy}"])
    assert config.auto_augment is not None
    transform = make_policy(config.auto_augment, {}, images, [9] * channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = augment_in_groups(images, torch.arange(64), transform)
    assert (found.shape, found.dtype) == (images.shape, torch.uint8)
    changed = (found != images).flatten(1).any(1)
    assert changed.double().mean() > 0.5


@needs_torchvision
def test_wrong_options() -> None:
    with pytest.raises(ConfigError, match=r"auto_augment_options of rand-augment: .*magnitud"):
        make_policy("rand-augment", {"magnitud": 3}, _images(1), None)


@needs_torchvision
@pytest.mark.slow
def test_a_stopped_run_continues_to_the_same_bits(tmp_path: Path) -> None:
    config, quiet = parse_config(CONFIG), Console(quiet=True)
    train(config, tmp_path / "straight", console=quiet)
    with interrupted_at(15):
        train(config, tmp_path / "stopped", console=quiet)
    train(config, tmp_path / "stopped", console=quiet)
    found = [
        (tmp_path / run / "checkpoint.safetensors").read_bytes() for run in ("straight", "stopped")
    ]
    assert found[0] == found[1]
