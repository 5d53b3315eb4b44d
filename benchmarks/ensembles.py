"""The latency and the accuracy of samples of the noise: `python benchmarks/ensembles.py`.

Writes results/ensembles.json, and from it a table of README.md. The latency is that of the paper's
CIFAR network with random weights, one image at a time on one thread, interleaved with
onnxruntime's float32 pass in one process. The accuracy is that of a trained network:

    python benchmarks/ensembles.py --evaluate cifar10=MODEL.onnx --data-dir DIR

replaces the stored evaluation of that data set, and plots it.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ensemble_table import write_ensemble_table
from generator import generator_seconds, noisy_signs
from networks import vgg

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.bench.baselines import open_benchmarked
from bnnkit.bench.benchmark import interleave, random_images, ratio
from bnnkit.bench.machine import describe_machine_to_publish
from bnnkit.engines.engine import Engine
from bnnkit.files.atomic import write_text

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "ensembles.json"
SAMPLES = (1, 2, 4, 10)


def main() -> None:
    """Measure the cost or evaluate a network; write the results and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="measuring time of each engine"
    )
    parser.add_argument("--evaluate", metavar="DATA=MODEL.onnx", help="a trained network")
    parser.add_argument("--data-dir", type=Path, help="folder of the data set's standard files")
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.evaluate:
        name, _, model = options.evaluate.partition("=")
        found = evaluate(name, Path(model), options.data_dir)
        results["evaluations"] = {**results.get("evaluations", {}), name: found}
    else:
        results["price"] = price(options.seconds)
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    write_ensemble_table(results, HERE / "README.md")


class Averaged(Engine):
    """An engine that returns the class probabilities of an ensemble, under its own name."""

    def __init__(self, engine: Engine, samples: int, name: str) -> None:
        self.engine, self.config = engine, EnsembleConfig(samples=samples)
        self.name, self.version = name, engine.version

    def check(self, images: Any) -> None:
        self.engine.check(images)

    def run(self, images: Any) -> tuple[Any, ...]:
        return (self.engine.ensemble(images, self.config).probabilities,)

    def trace(self, images: Any) -> dict[str, Any]:
        return self.engine.trace(images)


def price(seconds: float) -> dict[str, Any]:
    """Measure latencies and ratios of the paper's CIFAR network."""
    context = describe_machine_to_publish()
    model = vgg()
    images = random_images(Artifact(model), 1)
    one, two = (open_benchmarked("bnnkit", Artifact(model), threads=n) for n in (1, 2))
    fp32 = open_benchmarked("onnxruntime-fp32", Artifact(model), threads=1)
    engines: list[tuple[Engine, int]] = [
        (fp32, 1),
        (one, 1),
        *((Averaged(one, n, _named(n)), 1) for n in SAMPLES),
        (Averaged(two, SAMPLES[-1], f"{_named(SAMPLES[-1])}, 2 threads"), 2),
    ]
    measured = interleave(engines, images, seconds)
    found = {m.engine: m for m in measured}
    whole = found[_named(SAMPLES[-1])]
    generator_us = 1e6 * generator_seconds(Artifact(model), SAMPLES[-1])
    ratios = {
        f"one float32 pass over {SAMPLES[-1]} samples": (found["onnxruntime-fp32"], whole),
        f"{SAMPLES[-1]} samples over one deterministic pass": (whole, found["bnnkit"]),
        f"{SAMPLES[-1]} samples, one thread over two": (whole, measured[-1]),
    }
    context["load_avg_after"] = list(os.getloadavg())
    return {
        "context": context,
        "latency_us": {
            name: {"median": m.median_us, "least": float(m.wall_us.min())}
            for name, m in found.items()
        },
        "ratios": {name: asdict(ratio(*pair)) for name, pair in ratios.items()},
        "generator": {"us": generator_us, "share": generator_us / whole.median_us},
        "noisy_signs": noisy_signs(Artifact(model)),
    }


def _named(samples: int) -> str:
    return f"bnnkit, {samples} sample{'s' * (samples > 1)}"


def evaluate(name: str, model: Path, data_dir: Path | None) -> list[dict[str, Any]]:
    """Run `bnnkit eval` on a trained network for several numbers of samples."""
    picture = HERE / "results" / f"ensembles-{name}.png"
    command = [sys.executable, "-m", "bnnkit", "eval", str(model), "--data", name]
    command += ["--samples", "0,1,2,4,10,auto", "--json", "--plot", str(picture)]
    command += ["--data-dir", str(data_dir)] if data_dir else []
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: list[dict[str, Any]] = json.loads(printed)
    for entry in found:
        del entry["file"]
    return found


if __name__ == "__main__":
    main()
