"""The paper's CIFAR-10 network with activations of 1 to 4 bits, one thread, against int8.

python benchmarks/few_bits.py

Prints a table and writes results/few_bits.json, and the table of README.md. The weights are binary
and random, because the time does not depend on them; a file of each number of bits is compared
with ONNX Runtime bit for bit first. All engines take turns in the same rounds, and a ratio is
computed in each round. Times are those of the calling thread's CPU, which other programs of the
machine disturb less; all engines compute in that thread.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from markdown_block import write_block
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.bench.baselines import open_benchmarked
from bnnkit.bench.machine import describe_machine
from bnnkit.engines import open_engine
from bnnkit.files.atomic import write_text
from bnnkit.runtime import Model

FOLDER = Path(__file__).parent
RESULTS, README, BLOCK = FOLDER / "results" / "few_bits.json", FOLDER / "README.md", "few bits"
BITS = (1, 2, 3, 4)
BASELINES = ("onnxruntime-int8", "onnxruntime-fp32")
ROUNDS = 61
SHAPE = (3, 32, 32)
MACHINE = ("date", "num_cpus", "cpu_model", "cpu_features", "load_avg", "python", "versions")
"""What the results say of the machine."""
RUNS = 5
"""Runs of an engine in a turn, of which the least counts."""


def artifact_of(bits: int) -> Artifact:
    """The file of the network, after a comparison of its signs in two engines.

    Its batch norms have seen random images.
    """
    import torch

    from bnnkit.export.from_torch.export_onnx import from_torch
    from bnnkit.models import build

    torch.manual_seed(0)
    options: dict[str, Any] = {"activation_bits": bits, "estimator": "deterministic-st"}
    network = build("vgg", input_shape=SHAPE, n_classes=10, zero_point=[125, 123, 114], **options)
    network.train()(torch.randint(0, 256, (8, *SHAPE), dtype=torch.uint8))
    images = torch.randint(0, 256, (2, *SHAPE), dtype=torch.uint8)
    artifact = from_torch(network.eval(), images, mode="deterministic")
    wanted = open_engine("onnxruntime", artifact).trace(images.numpy())
    found = open_engine("bnnkit", artifact).trace(images.numpy())
    if len(found) < bits or any(not np.array_equal(found[n], wanted[n]) for n in found):
        raise ValueError(f"the signs of the network with {bits} bits differ")
    return artifact


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    artifacts = {bits: artifact_of(bits) for bits in BITS}
    image = np.random.default_rng(0).integers(0, 256, (1, *SHAPE), dtype=np.uint8)
    jobs: dict[str, Callable[[], object]] = {}
    for bits, artifact in artifacts.items():
        jobs[_label(bits)] = _job(Model(artifact).run, image)
    for name in BASELINES:
        jobs[name] = _job(open_benchmarked(name, artifacts[1]).run, image)
    times = np.array([[_turn(run) for run in jobs.values()] for _ in range(rounds)])
    machine = {key: fact for key, fact in describe_machine().items() if key in MACHINE}
    results = {"machine": machine, "rounds": rounds, "engines": _table(jobs, times)}
    for name, row in results["engines"].items():
        print(f"{name:18} {row['us']:8.0f} us {row['times_int8']:6.2f} times as fast as int8")
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    write_block(README, BLOCK, markdown(results))


def markdown(results: dict[str, Any]) -> str:
    """The table of results."""
    lines = [
        "| engine | microseconds | times as fast as onnxruntime-int8 | 10 % to 90 % |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in results["engines"].items():
        spread = f"{row['times_int8_p10']:.2f} to {row['times_int8_p90']:.2f}"
        lines.append(f"| {name} | {row['us']:.0f} | {row['times_int8']:.2f} | {spread} |")
    return "\n".join(lines)


def _label(bits: int) -> str:
    return f"bnnkit, {bits} bit{'s' if bits > 1 else ''}"


def _job(run: Callable[[NDArray[np.uint8]], object], image: NDArray[np.uint8]) -> Any:
    run(image)  # compiles and warms up
    return lambda: run(image)


def _turn(run: Callable[[], object]) -> float:
    """Return the CPU time of the fastest of a few runs, in microseconds."""
    passed = []
    for _ in range(RUNS):
        start = time.thread_time()
        run()
        passed.append(time.thread_time() - start)
    return min(passed) * 1e6


def _table(names: dict[str, Any], times: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """The median time of each engine, and its speed relative to int8 over the rounds."""
    int8 = times[:, list(names).index("onnxruntime-int8")]
    rows = {}
    for name, column in zip(names, times.T, strict=True):
        ratios = int8 / column
        rows[name] = {
            "us": float(np.median(column)),
            "least_us": float(column.min()),
            "times_int8": float(np.median(ratios)),
            "times_int8_p10": float(np.percentile(ratios, 10)),
            "times_int8_p90": float(np.percentile(ratios, 90)),
        }
    return rows


if __name__ == "__main__":
    main()
