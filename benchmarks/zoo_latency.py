"""Accuracy against latency of the zoo: `python benchmarks/zoo_latency.py`; three minutes.

Each network runs in bnnkit, in one pass and in 1, 4 and 10 samples if it has noise, and as its
float32 twin in ONNX Runtime: the same layers with float32 weights, one image at a time on one
thread, interleaved in rounds. Times are CPU times, which other work on the machine lengthens
little; on a quiet machine the wall times are the same. The float ResNet-18 that taught the
networks is measured too; its accuracy is the mean of its runs in results/training.json. With
--data-dir DIR, which has a folder for each data set, the accuracies of samples are measured; else
they are kept. With --only NAME, one network is measured, and the others keep their times. Writes
results/zoo-latency.json and .png, and a table of docs/zoo.md; --draw draws the stored results.
"""

import argparse
import json
import os
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from cpu_times import float32_over, latency
from ensembles import Averaged
from markdown_block import write_block
from zoo import probabilities
from zoo_latency_figure import draw, markdown

from bnnkit import data
from bnnkit.artifact.artifact import Artifact
from bnnkit.bench.baselines import open_benchmarked
from bnnkit.bench.benchmark import interleave, random_images
from bnnkit.bench.machine import describe_machine_to_publish
from bnnkit.engines.engine import Engine
from bnnkit.evaluation import metrics
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.files.atomic import write_text
from bnnkit.models import build
from bnnkit.runtime import load
from bnnkit.runtime.open_file import read
from bnnkit.zoo import ZooModel, zoo

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "zoo-latency.json"
TRAINING = HERE / "results" / "training.json"
SAMPLES = (1, 4, 10)
FLOAT32 = "onnxruntime-fp32"
TEACHER = "float ResNet-18"


def measure(artifact: Artifact, seconds: float) -> dict[str, Any]:
    """Return the latencies of one network, and their ratios to one float32 pass."""
    ours = open_benchmarked("bnnkit", artifact, threads=1)
    engines: list[Engine] = [open_benchmarked(FLOAT32, artifact, threads=1), ours]
    if artifact.is_stochastic:
        engines += [Averaged(ours, n, f"bnnkit, {n}") for n in SAMPLES]
    found = interleave([(engine, 1) for engine in engines], random_images(artifact, 1), seconds)
    return {
        "latency_us": {m.engine: latency(m) for m in found},
        "float32_over": {m.engine: float32_over(found[0], m) for m in found[1:]},
    }


def accuracies(model: ZooModel, data_dir: Path) -> dict[str, float]:
    """Return the accuracies of the samples of a network with noise."""
    about, network = data.load(model.data, data_dir / model.data), load(model.path)
    return {
        f"bnnkit, {n}": metrics.accuracy(probabilities(network, about, n, 1), about.y_test)
        for n in SAMPLES
    }


def teacher(seconds: float) -> dict[str, Any]:
    """Measure the float ResNet-18; its weights are random, because they do not change the time."""
    runs = [r for r in json.loads(TRAINING.read_text()) if r["name"].startswith("teacher")]
    options: dict[str, Any] = {"input_shape": (3, 32, 32), "n_classes": 10}
    network = build("resnet18-real", zero_point=(125, 123, 114), **options).eval()
    artifact = from_torch(network, torch.zeros((1, 3, 32, 32), dtype=torch.uint8))
    engine = open_benchmarked(FLOAT32, artifact, threads=1)
    (found,) = interleave([(engine, 1)], random_images(artifact, 1), seconds)
    accuracy = fmean(r["test_accuracy"] for r in runs if not r["revision"].startswith("before"))
    return {
        "data": "cifar10",
        "accuracy": {FLOAT32: accuracy},
        "latency_us": {FLOAT32: latency(found)},
    }


def main() -> None:
    """Measure all networks, and write the results, the figure and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="time of each engine")
    parser.add_argument("--data-dir", type=Path, help="measures the accuracies of samples again")
    parser.add_argument("--only", metavar="NAME", help="measures one network, keeps the others")
    parser.add_argument("--draw", action="store_true", help="only draw the stored results")
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if not options.draw:
        context = describe_machine_to_publish()
        old = results.get("networks", {})
        networks = dict(old) if options.only else {TEACHER: teacher(options.seconds)}
        for model in zoo():
            if options.only not in (None, model.name):
                continue
            found = measure(read(model.path), options.seconds)
            stored = old.get(model.name, {})
            accuracy: dict[str, float] = {FLOAT32: model.accuracy, "bnnkit": model.accuracy}
            if model.accuracy_samples is not None and options.data_dir:
                accuracy |= accuracies(model, options.data_dir)
            elif stored.get("sha256") == model.sha256:
                accuracy = {**stored["accuracy"], **accuracy}
            about = {"data": model.data, "sha256": model.sha256, "accuracy": accuracy}
            if options.only:
                about["date"] = context["date"]
            networks[model.name] = {**about, **found}
            print(model.name, found["latency_us"], flush=True)
        context["load_avg_after"] = list(os.getloadavg())
        if options.only:
            context = results["context"]  # of the others
        results = {"context": context, "networks": networks}
        write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    draw(results, RESULTS.with_suffix(".png"))
    write_block(HERE.parent / "docs" / "zoo.md", "latency", markdown(results))


if __name__ == "__main__":
    main()
