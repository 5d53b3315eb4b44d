"""Every configuration in examples/configs trains, here with few small images and narrow layers."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bnnkit.training import load_checkpoint, load_config, train

CONFIGS = Path(__file__).parents[1] / "examples" / "configs"
QUIET = Console(quiet=True)
CPU = ("device=cpu", "compile=false", "precision=32-true")
SHORT = (*CPU, "epochs=1", "batch_size=8", "recalibrate=1", "eval_samples=2", "validation=0")
STARTS = {"cifar10-vgg-pretrained": "cifar10-vgg-float"}
"""Configurations that start from a run of another."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of each size and a teacher for those of CIFAR-10."""
    folder = tmp_path_factory.mktemp("configs")
    rng = np.random.default_rng(0)
    for name, shape in {"cifar10": (3, 32, 32), "mnist": (1, 28, 28), "digits": (1, 8, 8)}.items():
        x, y = rng.integers(0, 256, (20, *shape), dtype=np.uint8), np.arange(20) % 2
        np.savez(folder / f"{name}.npz", x=x, y=y)
    return folder


def trained(name: str, folder: Path, *overrides: str) -> Path:
    """The run of a configuration, done once."""
    config = load_config(CONFIGS / f"{name}.yaml")
    data = f"data.name={folder / config.data.name}.npz"
    width = () if config.model.name == "mlp" else ("model.width=4",)
    loaded = load_config(CONFIGS / f"{name}.yaml", [*SHORT, data, *width, *overrides])
    train(loaded, folder / name, console=QUIET)
    return folder / name


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_a_configuration_trains(name: str, folder: Path) -> None:
    config = load_config(CONFIGS / f"{name}.yaml")
    overrides = []
    if config.distillation is not None:
        teacher = trained("cifar10-teacher", folder, "store_logits=false")
        overrides.append(f"distillation.teachers=[{teacher}]")
    if config.start_from is not None:
        overrides.append(f"start_from={trained(STARTS[name], folder)}")
    if config.store_logits:
        overrides.append("store_logits=false")
    found = load_checkpoint(trained(name, folder, *overrides))
    assert found.config.model.name == config.model.name
