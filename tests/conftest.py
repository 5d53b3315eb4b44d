"""Shared fixtures: fixed random numbers, a checkpoint, small model files."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import settings

settings.register_profile("reproducible", derandomize=True)
settings.load_profile("reproducible")


def pytest_collection_finish() -> None:
    """Exempt the imported libraries from garbage collection, which takes 0.2 s with them."""
    gc.collect()
    gc.freeze()
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)  # GPUs that are used later too


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Reset the global generators, so that no test depends on those that ran before it."""
    np.random.seed(0)  # noqa: NPY002 - other packages draw from the global generator
    if "torch" not in sys.modules:  # nothing has drawn from it, and it starts from its own seed
        return
    torch = sys.modules["torch"]
    # Until a GPU is used, `manual_seed` keeps its calls for one, each with a traceback: 10 ms.
    (torch if torch.cuda.is_initialized() else torch.default_generator).manual_seed(0)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Forget the noises, estimators and weight rules that a test registers."""
    if "bnnkit.nn" not in sys.modules:
        yield
        return
    from bnnkit.nn.base.noise import NOISES
    from bnnkit.nn.estimators.estimator import ESTIMATORS
    from bnnkit.nn.weight_rules.weight_rule import WEIGHT_RULES

    with pytest.MonkeyPatch.context() as monkeypatch:
        for registry in (NOISES, ESTIMATORS, WEIGHT_RULES):
            monkeypatch.setattr(registry, "_classes", dict(registry._classes))
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let torch use one thread: small networks are no faster, and sums have one order only."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out pictures, which take most of the time of short runs."""
    monkeypatch.setattr("bnnkit.training.finish.draw_curves", lambda *_, **__: None)


@pytest.fixture(autouse=True, scope="session")
def exports_are_kept() -> Iterator[None]:
    """Ask torch's exporter once for each network, in all tests and fixtures of the session."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if "torch" in sys.modules:
            from exporter_cache import export

            monkeypatch.setattr(sys.modules["torch"].onnx, "export", export)
        yield


@pytest.fixture
def fresh_exports(exports_are_kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask torch's exporter in every export."""
    import torch
    from exporter_cache import ask_torch

    monkeypatch.setattr(torch.onnx, "export", ask_torch)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint of a small network on digits, not trained, but not trivial."""
    pytest.importorskip("torch")
    import torch

    from bnnkit import data
    from bnnkit.training.build_model import build_model
    from bnnkit.training.checkpoint import describe, save_checkpoint
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
    save_checkpoint(path, network.eval(), config, describe(dataset, 0.1))
    return folder


@pytest.fixture(scope="session")
def digits_model(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of `digits_run`."""
    from bnnkit.deployment.export_checkpoint import export_checkpoint

    path = tmp_path_factory.mktemp("model") / "digits.onnx"
    export_checkpoint(digits_run, path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A sound model that takes uint8 (N, 1, 8, 8)."""
    from artifacts import digits_like

    from bnnkit.artifact.operators.functions import function, names

    path = tmp_path / "model.onnx"
    network, _ = digits_like()
    network.model.functions.extend(function(name) for name in names())
    onnx.save(network.model, path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Sound inputs for it."""
    from artifacts import digits_like

    path = tmp_path / "images.npy"
    np.save(path, digits_like()[1])
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where a result would go, in a folder of its own."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "out.npy"
