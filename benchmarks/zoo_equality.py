"""Compare bnnkit's runtime with ONNX Runtime on all test images, for the models of the zoo.

python benchmarks/zoo_equality.py [NAME ...] --data-dir DIR [--work DIR]

DIR has a folder for each data set, such as cifar10. Each model is evaluated in one pass, and in
ten samples if it has noise, by both engines on one thread. The predictions of every 250 images
are stored in the folder --work, from which a stopped comparison continues: ten samples of the
CIFAR-10 VGG take ONNX Runtime half an hour. Writes results/zoo-equality.json and a table of
docs/zoo.md.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from markdown_block import write_block
from numpy.typing import NDArray

from bnnkit import data
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.engines import open_engine
from bnnkit.evaluation import metrics
from bnnkit.files.atomic import write_text
from bnnkit.runtime.open_file import read
from bnnkit.zoo import ZooModel, zoo

RESULTS = Path(__file__).parent / "results" / "zoo-equality.json"
PAGE = Path(__file__).parent.parent / "docs" / "zoo.md"
ENGINES = ("bnnkit", "onnxruntime")
SAMPLES = 10
BATCH = 250


def compare(model: ZooModel, about: data.Dataset, work: Path) -> dict[str, Any]:
    """Compare the engines on one model."""
    passes = [0] if model.accuracy_samples is None else [0, SAMPLES]
    return {
        "name": model.name,
        "data": model.data,
        "sha256": model.sha256,
        "images": len(about.x_test),
        "passes": [_compare_pass(model, about, samples, work) for samples in passes],
    }


def _compare_pass(
    model: ZooModel, about: data.Dataset, samples: int, work: Path
) -> dict[str, Any]:
    found = {
        engine: np.concatenate(list(_probabilities(model, about, engine, samples, work)))
        for engine in ENGINES
    }
    ours, theirs = found.values()
    return {
        "samples": samples,
        "accuracy": {name: metrics.accuracy(p, about.y_test) for name, p in found.items()},
        "ece": {name: round(metrics.ece(p, about.y_test), 5) for name, p in found.items()},
        "equal_classes": int((ours.argmax(1) == theirs.argmax(1)).sum()),
        "largest_difference": float(np.abs(ours - theirs).max()),
    }


def _probabilities(
    model: ZooModel, about: data.Dataset, engine: str, samples: int, work: Path
) -> Iterator[NDArray[np.float32]]:
    """Yield the probabilities of each batch, computed or read from the folder."""
    opened = None
    for start in range(0, len(about.x_test), BATCH):
        path = work / f"{model.sha256[:16]}-{engine}-{samples}-{start}.npy"
        if not path.is_file():
            opened = opened or open_engine(engine, read(model.path), threads=1)
            images = about.x_test[start : start + BATCH]
            config = EnsembleConfig(samples=samples)
            found = opened.ensemble(images, config, image_offset=start).class_probabilities
            np.save(path, found)
        yield np.load(path)


def markdown(entries: list[dict[str, Any]]) -> str:
    """Return the table of all comparisons."""
    lines = [
        "| Name | Samples | bnnkit | ONNX Runtime | Equal classes | Calibration error |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for entry in entries:
        for found in entry["passes"]:
            parts = (
                f"`{entry['name']}`",
                str(found["samples"] or "one pass"),
                *(f"{found['accuracy'][engine]:.2%}" for engine in ENGINES),
                f"{found['equal_classes']:,} of {entry['images']:,}",
                f"{found['ece']['bnnkit']:.4f}",
            )
            lines.append(f"| {' | '.join(parts)} |")
    return "\n".join(lines)


def main() -> None:
    """Compare all models that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="models; the others keep their values")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/zoo-equality"))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    hashes = {model.sha256 for model in zoo()}
    by_name = {entry["name"]: entry for entry in stored if entry["sha256"] in hashes}
    for model in zoo():
        if arguments.names and model.name not in arguments.names:
            continue
        about = data.load(model.data, arguments.data_dir / model.data)
        by_name[model.name] = compare(model, about, arguments.work)
        print(by_name[model.name], flush=True)
        entries = [by_name[name] for name in sorted(by_name)]
        write_text(RESULTS, json.dumps(entries, indent=1) + "\n")
        write_block(PAGE, "equality", markdown(entries))


if __name__ == "__main__":
    main()
