"""Measure bnnkit and the baselines on one core: `python benchmarks/latency.py`.

Writes results/latency.json in the shape of google-benchmark, and from it the table of README.md
and the figure. Takes about twelve minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
from figure import draw
from footprint import added_megabytes, startup_seconds
from networks import NETWORKS, small_vgg
from table import write_table

from bnnkit.artifact.artifact import Artifact
from bnnkit.bench.baselines import open_benchmarked
from bnnkit.bench.benchmark import Benchmark, benchmark, interleave, random_images, ratio
from bnnkit.bench.machine import describe_machine_to_publish
from bnnkit.bench.report_json import to_json
from bnnkit.bench.step_times import step_times
from bnnkit.files.atomic import write_text

HERE = Path(__file__).parent
ENGINES = (
    "bnnkit",
    "onnxruntime-fp32",
    "onnxruntime-int8",
    "openvino-int8",
    "openvino-1bit",
    "lce",
)
AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}


def main() -> None:
    """Measure, and write results, tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each engine and network")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "latency.json")
    options = parser.parse_args()
    results = measure_all(options.seconds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(options.out, json.dumps(results, indent=1) + "\n")
    if options.out == HERE / "results" / "latency.json":
        write_table(results, HERE / "README.md")
        draw(results, HERE / "results" / "latency.png")


def measure_all(seconds: float) -> dict[str, Any]:
    """Return all measurements as one object."""
    context = describe_machine_to_publish()
    results: dict[str, Any] = {"context": context, "benchmarks": [], "ratios": []}
    results |= {"left_out": {}, "profile": {}, "footprint": {}}
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.onnx"
        onnx.save(small_vgg(), small)
        for name, make in NETWORKS.items():
            path = Path(folder) / f"{name}.onnx"
            onnx.save(make(), path)
            _measure(name, path, seconds, results)
            _measure_avx2(name, path, seconds, results)
        vgg = Path(folder) / "vgg.onnx"
        results["footprint"] = {
            "network": "vgg",
            "added_megabytes": added_megabytes(small, vgg),
            "startup_seconds": startup_seconds(vgg),
        }
    results["context"]["load_avg_after"] = list(os.getloadavg())
    return results


def _measure(name: str, path: Path, seconds: float, results: dict[str, Any]) -> None:
    """Compare one thread with all engines, and two threads with one."""
    model = onnx.load(path)
    _add(name, benchmark(Artifact(model), engines=ENGINES, seconds=seconds), results)
    images = random_images(Artifact(model), 1)
    pairs = [(open_benchmarked("bnnkit", Artifact(model), threads=n), n) for n in (1, 2)]
    one, two = interleave(pairs, images, seconds)
    scaling = {"engine": "bnnkit, 2 threads", "against": "bnnkit, 1 thread"}
    results["ratios"].append({"network": name, **scaling, **asdict(ratio(one, two))})
    steps = step_times(Artifact(model), images, runs=300)
    results["profile"][name] = [asdict(step) for step in steps]


def _add(name: str, measured: Benchmark, results: dict[str, Any]) -> None:
    content = to_json(measured, model=name)
    results["benchmarks"] += [e for e in content["benchmarks"] if e["run_type"] == "aggregate"]
    results["ratios"] += [{"network": name, **found} for found in content["ratios"]]
    results["left_out"] |= content["left_out"]


def _measure_avx2(name: str, path: Path, seconds: float, results: dict[str, Any]) -> None:
    """Measure the kernels for CPUs without AVX-512 in a child process; onnxruntime unchanged."""
    found = path.with_suffix(".avx2.json")
    command = [sys.executable, "-m", "bnnkit", "bench", str(path), "--json", str(found)]
    command += ["--engines", "bnnkit,onnxruntime-fp32", "--seconds", str(seconds)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **AVX2})
    for comparison in json.loads(found.read_text())["ratios"]:
        results["ratios"].append({"network": name, **comparison, "engine": "bnnkit, AVX2"})


if __name__ == "__main__":
    main()
