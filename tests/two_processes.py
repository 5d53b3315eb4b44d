"""What two processes of one run do together; torchrun starts this file, with a folder."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bnnkit import data, training
from bnnkit.training import scores
from bnnkit.training.config import Config, parse_config

SMOOTH = """
data: {name: digits}
model: {name: "two_processes:make"}
epochs: 3
batch_size: 64
augment: crop-flip
cutout: 2
optimizer: sgd
lr: 0.05
schedule: constant
clip_gradients: 1.0
ema: 0.9
recalibrate: 4
device: cpu
"""
NOISY = """
data: {name: digits}
model: {name: convnet, width: 8}
epochs: 2
batch_size: 64
recalibrate: 4
eval_samples: 3
device: cpu
"""


class _Smooth(nn.Module):
    """Convolutions and batch norms without signs: rounding errors stay small."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Tanh(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8, momentum=None), nn.Tanh(),
            nn.Flatten(), nn.Linear(128, 16), nn.BatchNorm1d(16, affine=False),
            nn.Linear(16, n_classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(x.float() / 16)
        return found


def make(n_classes: int) -> nn.Module:
    """Make the network of the configuration `SMOOTH`."""
    return _Smooth(n_classes)


def train(config: Config, out: Path) -> None:
    """Train in this process, alone or as one of several."""
    torch.set_num_threads(1)
    scores.EVALUATION_BATCH = 100  # type: ignore[attr-defined]  # so that there are several
    with data.trust_code("two_processes"):
        training.train(config, out, console=None)


def load(data_dir: Path) -> dict[str, Any]:
    """Load digits in every process; note its number, and fail in the second one if asked to."""
    rank = os.environ.get("RANK", "0")
    (data_dir / f"process{rank}").write_text(str(os.getpid()))
    if rank == "1" and (data_dir / "fail").exists():
        raise FileNotFoundError(2, "No such file or directory", "images.npz")
    digits = data.load("digits")
    return {name: getattr(digits, name) for name in ("x_train", "y_train", "x_test", "y_test")}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    train(parse_config(SMOOTH), folder / "whole")
    train(parse_config(SMOOTH, ["sync_batch_norm=false"]), folder / "local")
    train(parse_config(SMOOTH, ["epochs=2"]), folder / "continued")  # one process trained epoch 1
    for epochs in (2, 3):
        train(parse_config(SMOOTH, [f"epochs={epochs}"]), folder / "stopped")
    train(parse_config(NOISY), folder / "noisy")  # finishes what one process trained
