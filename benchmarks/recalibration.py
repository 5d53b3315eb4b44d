"""Compare batch norms re-estimated on unchanged and on augmented training images.

python benchmarks/recalibration.py RUN [RUN ...] --data-dir DIR

Each RUN is the folder of a finished run on CIFAR-10. Its batch norms are re-estimated on 30,000
training images, once unchanged and once augmented with all shifts and flips, and the network is
evaluated in one pass on the test images, with torch. The result is added to
results/recalibration.json.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnnkit import data
from bnnkit.data import Dataset
from bnnkit.nn.recalibrate import recalibrate
from bnnkit.training import load_checkpoint
from bnnkit.training.augment import Views, random_views
from bnnkit.training.config_values import Augment

RESULTS = Path(__file__).parent / "results" / "recalibration.json"
IMAGES, BATCH, SEED = 30_000, 500, 1
KINDS: dict[str, Augment] = {"unchanged": "none", "augmented": "crop-flip-uniform"}


def measure(run: Path, dataset: Dataset, device: torch.device) -> dict[str, Any]:
    """Return the test accuracies of a run's network under both estimates."""
    model, config, _ = load_checkpoint(run)
    model.to(device)
    found: dict[str, Any] = {"run": run.name, "epochs": config.epochs, "seed": config.seed}
    for kind, augment in KINDS.items():
        recalibrate(model, _batches(dataset, augment, device), "deterministic", seed=SEED)
        found[kind] = _accuracy(model, dataset, device)
    return found


def _batches(dataset: Dataset, augment: Augment, device: torch.device) -> Iterator[Tensor]:
    views = Views(torch.from_numpy(dataset.x_train).to(device), dataset.zero_point)
    generator = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(dataset.x_train), generator=generator)[:IMAGES].to(device)
    for start in range(0, IMAGES, BATCH):
        yield random_views(views, order[start : start + BATCH], augment)


@torch.no_grad()
def _accuracy(model: nn.Module, dataset: Dataset, device: torch.device) -> float:
    model.eval()
    images, labels = torch.from_numpy(dataset.x_test), torch.from_numpy(dataset.y_test)
    right = 0
    for start in range(0, len(images), BATCH):
        logits = model(images[start : start + BATCH].to(device))
        right += int((logits.argmax(1).cpu() == labels[start : start + BATCH]).sum())
    return right / len(labels)


def main() -> None:
    """Measure the runs and store the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    dataset = data.load("cifar10", arguments.data_dir)
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    by_run = {(entry["run"], entry["epochs"]): entry for entry in stored}
    for run in arguments.runs:
        entry = measure(run, dataset, torch.device(arguments.device))
        print(entry)
        by_run[entry["run"], entry["epochs"]] = entry
    RESULTS.write_text(json.dumps(list(by_run.values()), indent=1) + "\n")


if __name__ == "__main__":
    main()
