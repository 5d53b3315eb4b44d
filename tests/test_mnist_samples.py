"""The MNIST convnet, trained for a moment: the same bits of every sample in every engine."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from artifacts import Array
from rich.console import Console

from bnnkit import data
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.deployment.export_checkpoint import export_checkpoint
from bnnkit.engines import open_engine
from bnnkit.engines.engine import SamplingEngine
from bnnkit.export import noisy_thresholds
from bnnkit.runtime.open_file import read
from bnnkit.training import load_checkpoint, train
from bnnkit.training.config import parse_config
from bnnkit.verification.torch_trace import TorchTrace

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"
SEEDS = (0, 1, 2**32 - 1, 2**32, 2**64 - 1)
SAMPLES = range(10)
N_IMAGES = 64
N_TRAINED_ON = 3000
BATCHES = (slice(0, 1), slice(0, 7), slice(0, N_IMAGES))
PIECES = (slice(40, 64), slice(0, 1), slice(33, 40), slice(1, 33))
"""All images, in another order and in other batches."""

CONFIG = """
model: {{name: convnet, width: 32}}
data: {{name: {data}}}
epochs: 1
batch_size: 32
lr: 0.01
eval_samples: 0
device: cpu
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MNIST.is_dir(), reason=f"MNIST is not in {MNIST}"),
]


class Trained(NamedTuple):
    """A network in torch, the thresholds of its signs, the engines, and test images."""

    torch: TorchTrace
    engines: dict[str, SamplingEngine]
    images: Array


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("mnist")
    mnist = data.load("mnist", MNIST)
    few = {"x_train": mnist.x_train[:N_TRAINED_ON], "y_train": mnist.y_train[:N_TRAINED_ON]}
    images = mnist.x_test[:N_IMAGES]
    np.savez(folder / "few.npz", x_test=images, y_test=mnist.y_test[:N_IMAGES], **few)
    config = parse_config(CONFIG.format(data=folder / "few.npz"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = train(config, folder / "run", console=Console(quiet=True))
    finally:
        torch.set_num_threads(threads)
    assert result.accuracy > 0.5  # it has learned something
    export_checkpoint(folder / "run", folder / "mnist.onnx")
    network = load_checkpoint(folder / "run").model
    trace = TorchTrace(network, thresholds=noisy_thresholds(network, torch.from_numpy(images[:1])))
    model = read(folder / "mnist.onnx")
    engines = {
        "reference": _engine("reference", model),
        "onnxruntime": _engine("onnxruntime", model),
        "bnnkit, 1 thread": _engine("bnnkit", model),
        "bnnkit, 2 threads": _engine("bnnkit", model, 2),
    }
    return Trained(trace, engines, images)


def _engine(name: str, model: Artifact, threads: int = 1) -> SamplingEngine:
    engine = open_engine(name, model, threads=threads)
    assert isinstance(engine, SamplingEngine)
    return engine


def _assert_all_draw(trained: Trained, want: dict[str, Array], piece: slice, at: Sample) -> None:
    """Torch and every engine draw these signs for a piece of the images."""
    images, here = trained.images[piece], replace(at, image_offset=piece.start)
    engines = dict(trained.engines)
    if len(images) == N_IMAGES:
        del engines["reference"]  # `want` is what it draws
    found = {name: engine.trace(images, here) for name, engine in engines.items()}
    found["torch"] = trained.torch(images, here).signs
    assert set(found["torch"]) == set(trained.torch.paths)
    for name, signs in found.items():
        assert len(signs) >= 3
        for sign, values in signs.items():
            np.testing.assert_array_equal(values, want[sign][piece], err_msg=f"{name}: {sign}")


@pytest.fixture(scope="module")
def wanted(trained: Trained) -> Callable[[Sample], dict[str, Array]]:
    """What the reference draws for all images at once, computed once for each sample."""
    return cache(lambda sample: trained.engines["reference"].trace(trained.images, sample))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_sample_has_the_same_bits_in_batches_of_any_size(
    trained: Trained, wanted: Callable[[Sample], dict[str, Array]], seed: int
) -> None:
    """5 seeds, 10 samples, batches of 1, 7 and 64, 1 and 2 threads, at every sign."""
    for index in SAMPLES:
        sample = Sample(seed=seed, index=index)
        want = wanted(sample)
        for batch in BATCHES:
            _assert_all_draw(trained, want, batch, sample)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_sample_has_the_same_bits_in_another_order_and_in_pieces(
    trained: Trained, wanted: Callable[[Sample], dict[str, Array]], seed: int
) -> None:
    for index in SAMPLES:
        sample = Sample(seed=seed, index=index)
        want = wanted(sample)
        for piece in PIECES:
            _assert_all_draw(trained, want, piece, sample)
