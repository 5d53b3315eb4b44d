"""Train briefly on MNIST, export, and compare the bits on every test image.

The passes are those without noise; tests/test_mnist_samples.py compares samples.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from bnnkit import data
from bnnkit.deployment.export_checkpoint import export_checkpoint
from bnnkit.runtime.open_file import read
from bnnkit.training import load_checkpoint, train
from bnnkit.training.config import parse_config
from bnnkit.verification.verify import check_pair, verify

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"
N_TRAINED_ON = 6000
N_SCORED = 1000
"""Test images that the run itself scores; all engines are compared on all of them."""

CONFIG = """
model: {{name: convnet, width: 8, weight_noise: none}}
data: {{name: {data}}}
epochs: 1
batch_size: 32
lr: 0.01
eval_samples: 0
device: cpu
"""


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason=f"MNIST is not in {MNIST}")
def test_every_engine_gives_torchs_bits_on_all_test_images(tmp_path: Path) -> None:
    mnist = data.load("mnist", MNIST)
    subset, run, path = tmp_path / "mnist.npz", tmp_path / "run", tmp_path / "mnist.onnx"
    np.savez(
        subset,
        x_train=mnist.x_train[:N_TRAINED_ON],
        y_train=mnist.y_train[:N_TRAINED_ON],
        x_test=mnist.x_test[:N_SCORED],
        y_test=mnist.y_test[:N_SCORED],
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = train(parse_config(CONFIG.format(data=subset)), run, console=Console(quiet=True))
    finally:
        torch.set_num_threads(threads)
    assert result.accuracy > 0.5  # it has learned something
    export_checkpoint(run, path)
    model = read(path)
    check_pair(run, model)
    found = verify(model, mnist.x_test, network=load_checkpoint(run).model, samples=0)
    assert found.n_images == len(mnist.x_test) == 10_000
    assert found.left_out == {}
    assert [comparison.engine for comparison in found.comparisons] == [
        "torch",
        "onnxruntime",
        "bnnkit, 1 thread",
        "bnnkit, 2 threads",
    ]
    for comparison in found.comparisons:
        assert comparison.is_equal, comparison
        assert comparison.n_tensors >= 3
        assert comparison.excused_images == 0
