"""Accuracy of files by the noise of the weights in training, with and without calibration.

python benchmarks/weight_noise.py [SEEDS]

A small network of a user's own is trained on the digits of scikit-learn, with signs without noise,
for 300 steps. Batch norms learn the statistics of drawn weights if these have a noise; the file
has the most probable ones. `export_onnx(..., calibrate=...)` re-estimates the statistics.
"""

import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

import bnnkit.nn as bnn
from bnnkit.data import Dataset, load
from bnnkit.export import export_onnx
from bnnkit.runtime import load as load_model

STEPS, BATCH = 300, 128


def network(digits: Dataset, weight_noise: str) -> nn.Module:
    """Two binary convolutions behind an integer one, binarized in place."""
    model = nn.Sequential(
        bnn.IntegerConv2d(1, 32, 3, padding=1, zero_point=digits.zero_point or [0]),
        *(nn.BatchNorm2d(32), nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)),
        *(nn.MaxPool2d(2), nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)),
    )
    return bnn.binarize_(model, ["2", "5"], noise="none", weight_noise=weight_noise)


def train(model: nn.Module, digits: Dataset) -> None:
    """Train with Adam."""
    x, y = torch.from_numpy(digits.x_train), torch.from_numpy(digits.y_train)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in torch.randint(len(x), (STEPS, BATCH)):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def accuracy(model: nn.Module, digits: Dataset, *, calibrate: bool) -> float:
    """Test accuracy of the exported file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        inputs = digits.x_train if calibrate else None
        export_onnx(model, digits.x_train[:1], path, calibrate=inputs)
        guesses = load_model(path).predict(digits.x_test).argmax(axis=1)
    return float((guesses == digits.y_test).mean())


def main() -> None:
    """Print a row for each noise and seed."""
    digits = load("digits")
    print("weight noise  seed  as trained  calibrated")
    for weight_noise in ("logistic", "none"):
        for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
            torch.manual_seed(seed)
            model = network(digits, weight_noise)
            train(model, digits)
            found = [100 * accuracy(model, digits, calibrate=c) for c in (False, True)]
            print(f"{weight_noise:12}  {seed:4}  {found[0]:8.1f} %  {found[1]:8.1f} %", flush=True)


if __name__ == "__main__":
    main()
