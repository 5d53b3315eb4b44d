"""What all tests share: the same random numbers in every run, a checkpoint and its model file."""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("reproducible", derandomize=True)
settings.load_profile("reproducible")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start the global generators anew, so that no test depends on those that ran before it."""
    np.random.seed(0)  # noqa: NPY002 - other packages draw from the global generator
    if "torch" in sys.modules:  # else nothing has drawn from it, and it starts from its own seed
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def torchlib_is_read_once() -> None:
    """Keep the operators that torch's exporter knows: it parses their sources in every export.

    That is a quarter of an export. They do not change, since no test registers its own.
    """
    registration = sys.modules.get("torch.onnx._internal.exporter._registration")
    if registration is not None and not hasattr(registration.ONNXRegistry, "kept"):
        read_once = cache(registration.ONNXRegistry.from_torchlib)
        registration.ONNXRegistry.from_torchlib = staticmethod(read_once)
        registration.ONNXRegistry.kept = True


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint of a small network on digits, not trained, but not trivial."""
    pytest.importorskip("torch")
    import torch

    from bnnkit import data
    from bnnkit.training.checkpoint import build_model, describe, save_checkpoint
    from bnnkit.training.config import parse_config

    dataset = data.load("digits")
    config = parse_config("model: {name: convnet, width: 8}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(config.model, dataset)
        network.train()
        for start in range(0, 256, 32):  # so that the batch norms have statistics
            network(torch.from_numpy(dataset.x_train[start : start + 32]))
    folder = tmp_path_factory.mktemp("run")
    path = folder / "checkpoint.safetensors"
    save_checkpoint(path, network.eval(), config, describe(dataset, accuracy=0.1))
    return folder


@pytest.fixture(scope="session")
def digits_model(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of `digits_run`."""
    from bnnkit.deployment.export_checkpoint import export_checkpoint

    path = tmp_path_factory.mktemp("model") / "digits.onnx"
    export_checkpoint(digits_run, path)
    return path
