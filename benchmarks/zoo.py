"""Measure the models of the zoo: `python benchmarks/zoo.py --data-dir DIR`.

DIR has a folder for each data set, such as cifar10. Every model is evaluated by bnnkit's runtime:
its accuracy on all test images, its calibration error on the second half of them, because the
temperatures of the files were fitted on the first (temperature.py). Writes
bnnkit/zoo/zoo.json and the table of docs/zoo.md. A new model needs an entry in MODELS and its file
in bnnkit/zoo. Test images choose no file: it is the first seed of the recipe's longest runs.
"""

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from markdown_block import write_block
from numpy.typing import NDArray

from bnnkit import data
from bnnkit.evaluation import metrics
from bnnkit.files.atomic import write_text
from bnnkit.runtime import Model, load
from bnnkit.zoo import ZooModel

FOLDER = Path(__file__).parent.parent / "bnnkit" / "zoo"
CATALOGUE = FOLDER / "zoo.json"
PAGE = Path(__file__).parent.parent / "docs" / "zoo.md"
SAMPLES = 10
BATCH = 500
# name: (network, data set, recipe, epochs, seed)
MODELS = {
    "cifar10-resnet18": ("ResNet-18", "cifar10", "cifar10-resnet18-distilled.yaml", 380, 11),
    "cifar10-resnet18-weights": (
        "ResNet-18, binary weights only",
        "cifar10",
        "cifar10-resnet18-weights.yaml",
        320,
        13,
    ),
    "cifar10-vgg": ("VGG", "cifar10", "cifar10-vgg-distilled.yaml", 600, 13),
    "cifar10-vgg-ensemble": ("VGG, noise 0.15", "cifar10", "cifar10-vgg-distilled.yaml", 362, 11),
    "cifar10-vgg-small": ("VGG-Small", "cifar10", "cifar10-vgg-small-distilled.yaml", 238, 11),
    "mnist-convnet": ("ConvNet", "mnist", "mnist-convnet-shifted.yaml", 24, 1),
    "mnist-convnet-ensemble": (
        "ConvNet, trained with noise",
        "mnist",
        "mnist-convnet.yaml",
        10,
        1,
    ),
    "mnist-ds-cnn": (
        "DS-CNN, an image as 28 frames of 28 values",
        "mnist",
        "mnist-ds-cnn.yaml",
        12,
        1,
    ),
}
LICENCE = "Apache-2.0"


def measure(name: str, data_dir: Path, threads: int) -> ZooModel:
    """Evaluate one model."""
    title, dataset, recipe, epochs, seed = MODELS[name]
    path = FOLDER / f"{name}.onnx"
    content, model = path.read_bytes(), load(path)
    about = data.load(dataset, data_dir / dataset)
    one_pass = probabilities(model, about, 0, threads)
    samples = probabilities(model, about, SAMPLES, threads) if model.is_stochastic else None
    labels, unseen = about.y_test, slice(len(about.y_test) // 2, None)
    return ZooModel(
        name=name,
        title=title,
        data=dataset,
        accuracy=metrics.accuracy(one_pass, labels),
        accuracy_samples=None if samples is None else metrics.accuracy(samples, labels),
        ece=_ece(one_pass, labels, unseen),
        ece_samples=None if samples is None else _ece(samples, labels, unseen),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        recipe=recipe,
        epochs=epochs,
        seed=seed,
        licence=LICENCE,
    )


def _ece(p: NDArray[np.float32], labels: NDArray[Any], part: slice) -> float:
    return round(metrics.ece(p[part], labels[part]), 5)


def probabilities(
    model: Model, about: data.Dataset, samples: int, threads: int
) -> NDArray[np.float32]:
    """Return the class probabilities of the test images, (N, K)."""
    parts = [
        model.predict(
            about.x_test[start : start + BATCH],
            samples=samples,
            threads=threads,
            image_offset=start,
        )
        for start in range(0, len(about.x_test), BATCH)
    ]
    return np.concatenate(parts)


def markdown(entries: list[dict[str, Any]]) -> str:
    """Return the table of the catalogue."""
    lines = [
        "| Name | Network | One pass | Ten samples | Calibration error | MB |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for entry in entries:
        sampled = entry["accuracy_samples"]
        ece = entry["ece"] if entry["ece_samples"] is None else entry["ece_samples"]
        parts = (
            f"`{entry['name']}`",
            entry["title"],
            f"{entry['accuracy']:.2%}",
            "" if sampled is None else f"{sampled:.2%}",
            f"{ece:.4f}",
            f"{entry['size'] / 1e6:.2f}",
        )
        lines.append(f"| {' | '.join(parts)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure all models that are named, or all, and write the catalogue."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="models to measure; the others keep their values")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    stored = json.loads(CATALOGUE.read_text()) if CATALOGUE.is_file() else []
    by_name = {entry["name"]: entry for entry in stored if entry["name"] in MODELS}
    for name in arguments.names or MODELS:
        by_name[name] = asdict(measure(name, arguments.data_dir, arguments.threads))
        print(by_name[name])
    entries = [by_name[name] for name in sorted(by_name)]
    write_text(CATALOGUE, json.dumps(entries, indent=1) + "\n")
    write_block(PAGE, "zoo", markdown(entries))


if __name__ == "__main__":
    main()
