"""Binary networks of the literature against their float twins: `python benchmarks/literature.py`.

Each network of `bnnkit.models` for 224x224 images, with random weights, which do not influence the
time, and 1,000 classes. The float twin has the same layers with real weights and without signs,
and runs in ONNX Runtime in float32, as does the binary network itself for comparison. All are
interleaved, one image at a time on one thread. Times are CPU times, which other work on the
machine lengthens little. Takes three minutes. Writes results/literature.json after each network,
the table of README.md and that of docs/models.md. With --only NAME, the others keep their times.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from cpu_times import float32_over, latency
from float_twin import artifact_of, float_twin
from markdown_block import write_block
from table import machine
from torch import nn

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.report import report
from bnnkit.bench.baselines import open_benchmarked
from bnnkit.bench.benchmark import interleave, random_images
from bnnkit.bench.machine import describe_machine_to_publish
from bnnkit.files.atomic import write_text
from bnnkit.models import build

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "literature.json"
README, MODELS = FOLDER / "README.md", FOLDER.parent / "docs" / "models.md"
BLOCK = "literature"
NAMES = ("bi-real-18", "reactnet-18", "reactnet-a", "quicknet", "meliusnet-22", "bnext-t")
TWIN, BINARY, BINARY_FP32 = "float twin in onnxruntime-fp32", "bnnkit", "onnxruntime-fp32"
OPTIONS: dict[str, Any] = {"input_shape": (3, 224, 224), "n_classes": 1000, "zero_point": None}


def measure(name: str, seconds: float) -> dict[str, Any]:
    """Return what a network holds, and its latencies."""
    torch.manual_seed(0)
    network = build(name, **OPTIONS)
    shape = OPTIONS["input_shape"]
    twin = artifact_of(float_twin(network, nn.Identity), shape)
    binary = artifact_of(network, shape)
    images = random_images(binary, 1)
    engines = [
        open_benchmarked("onnxruntime-fp32", twin, threads=1),
        open_benchmarked("bnnkit", binary, threads=1),
        open_benchmarked("onnxruntime-fp32", binary, threads=1),
    ]
    found = interleave([(engine, 1) for engine in engines], images, seconds)
    names = TWIN, BINARY, BINARY_FP32
    times = dict(zip(names, found, strict=True))
    return {
        **_content(binary),
        "twin_megabytes": round(twin.model.ByteSize() / 1e6, 2),
        "latency_us": {key: latency(one) for key, one in times.items()},
        "twin_over": {key: float32_over(found[0], times[key]) for key in names[1:]},
    }


def _content(artifact: Artifact) -> dict[str, Any]:
    size = artifact.model.ByteSize()
    found = report(artifact, size)
    real = sum(macs for kind, macs in found.macs.items() if kind != "binary")
    return {
        "binary_layers": sum(layer.kind == "binary" for layer in found.layers),
        "binary_macs": found.macs["binary"],
        "real_macs": real,
        "megabytes": round(size / 1e6, 2),
    }


def markdown(results: dict[str, Any]) -> str:
    """Return a line about the machine, and the table of the latencies."""
    lines = [
        "| network | float twin, ms | bnnkit, ms | times as fast | 10th to 90th percentile |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, found in results["networks"].items():
        speed = found["twin_over"][BINARY]
        cells = [name, *(f"{_ms(found, one):.2f}" for one in (TWIN, BINARY))]
        cells += [f"{speed['cpu']:.2f}", f"{speed['cpu_p10']:.2f} to {speed['cpu_p90']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([machine(results["context"]), "", *lines])


def sizes(results: dict[str, Any]) -> str:
    """Return the table of what the networks hold."""
    lines = [
        "| network | binary layers | binary MACs, millions | real MACs, millions | MB |"
        " float twin, MB | bnnkit, ms | times as fast as the twin |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, found in results["networks"].items():
        macs = (f"{found[key] / 1e6:,.0f}" for key in ("binary_macs", "real_macs"))
        megabytes = (f"{found[key]:.1f}" for key in ("megabytes", "twin_megabytes"))
        speed = (f"{_ms(found, BINARY):.1f}", f"{found['twin_over'][BINARY]['cpu']:.1f}")
        cells = (f"`{name}`", str(found["binary_layers"]), *macs, *megabytes, *speed)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ms(found: dict[str, Any], engine: str) -> float:
    """Return the CPU time of a run in milliseconds."""
    return float(found["latency_us"][engine]["cpu"]) / 1e3


def main() -> None:
    """Measure the networks, print the ratios, and write the results and the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="time of each engine")
    parser.add_argument("--only", choices=NAMES, help="measures one network, keeps the others")
    options = parser.parse_args()
    context = describe_machine_to_publish()
    networks = json.loads(RESULTS.read_text())["networks"] if RESULTS.is_file() else {}
    for name in (options.only,) if options.only else NAMES:
        networks[name] = found = measure(name, options.seconds)
        print(name, found["latency_us"], found["twin_over"], flush=True)
        context["load_avg_after"] = list(os.getloadavg())
        results = {"context": context, "networks": networks}
        write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    write_block(README, BLOCK, markdown(results))
    write_block(MODELS, BLOCK, sizes(results))


if __name__ == "__main__":
    main()
