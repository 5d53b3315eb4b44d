"""Keyword spotting and segmentation: `python benchmarks/speech_and_segmentation.py`.

TC-ResNet, whose convolutions run over time, and a U-Net, with a decoder and skip connections, both
of `bnnkit.models` and with random weights, which do not influence the time. The float original has
the same layers with real weights, and ReLU in place of signs. It runs in ONNX Runtime, in float32;
so does the binary network for comparison. All are interleaved, one input at a time on one thread.
Times are CPU time, which other programs of the machine disturb less than wall time. The kernels
for CPUs without AVX-512 are measured in a child process. Writes
results/speech_and_segmentation.json and the table of README.md.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
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
from bnnkit.bench.step_times import step_times
from bnnkit.files.atomic import write_text
from bnnkit.models import build

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "speech_and_segmentation.json"
README, BLOCK = FOLDER / "README.md", "speech and segmentation"
ORIGINAL, BINARY, BINARY_FP32 = "original", "bnnkit", "onnxruntime-fp32"
SPEECH, IMAGE = (40, 98), (3, 64, 64)
"""40 MFCCs of each of 98 frames, a second of speech; and an image."""
NETWORKS: dict[str, dict[str, Any]] = {
    "tc-resnet8, 64 wide": {"name": "tc-resnet", "input_shape": SPEECH, "width": 64},
    "tc-resnet8, 128 wide": {"name": "tc-resnet", "input_shape": SPEECH, "width": 128},
    "u-net, 32 wide, 64x64": {"name": "unet", "input_shape": IMAGE, "width": 32},
}
CLASSES = 12
AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}


def artifacts(name: str) -> tuple[Artifact, Artifact]:
    """Return the binary network and its float original."""
    torch.manual_seed(0)
    network = build(**NETWORKS[name], n_classes=CLASSES, zero_point=None)
    shape = NETWORKS[name]["input_shape"]
    original = float_twin(network, nn.ReLU)
    return artifact_of(network, shape, "deterministic"), artifact_of(original, shape)


def measure(name: str, seconds: float) -> dict[str, Any]:
    """Return what a network holds, the latencies, and the ratios to the float original."""
    binary, original = artifacts(name)
    images = random_images(binary, 1)
    engines = [
        open_benchmarked("onnxruntime-fp32", original, threads=1),
        open_benchmarked("bnnkit", binary, threads=1),
        open_benchmarked("onnxruntime-fp32", binary, threads=1),
    ]
    names = ORIGINAL, BINARY, BINARY_FP32
    found = interleave([(engine, 1) for engine in engines], images, seconds)
    return {
        "macs": report(binary, binary.model.ByteSize()).macs,
        "latency_us": {key: latency(one) for key, one in zip(names, found, strict=True)},
        "original_over": {
            key: float32_over(found[0], one) for key, one in zip(names[1:], found[1:], strict=True)
        },
        "steps": [asdict(step) for step in step_times(binary, images, runs=100)],
    }


def measure_avx2(name: str, seconds: float) -> dict[str, Any]:
    """Measure with the kernels for CPUs without AVX-512, in a child process."""
    command = [sys.executable, __file__, "--seconds", str(seconds), "--print", name]
    child = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **AVX2}
    )
    found: dict[str, Any] = json.loads(child.stdout)
    return found


def markdown(results: dict[str, Any]) -> str:
    """Return a line about the machine, and the table of the latencies."""
    lines = [
        "| network | binary MACs, millions | real MACs, millions | kernels | float original, ms |"
        " bnnkit, ms | times as fast | 10th to 90th percentile |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, by_kernels in results["networks"].items():
        for kernels, found in by_kernels.items():
            macs = found["macs"]
            real = sum(number for kind, number in macs.items() if kind != "binary")
            cells = [name, *(f"{number / 1e6:.1f}" for number in (macs["binary"], real)), kernels]
            times = found["latency_us"]
            cells += [f"{times[key]['cpu'] / 1e3:.3f}" for key in (ORIGINAL, BINARY)]
            speed = found["original_over"][BINARY]
            cells += [f"{speed['cpu']:.2f}", f"{speed['cpu_p10']:.2f} to {speed['cpu_p90']:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([machine(results["context"]), "", *lines])


def main() -> None:
    """Measure the networks, print the ratios, and write the results and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="time of each engine")
    parser.add_argument("--print", choices=NETWORKS, help="measures one network, writes nothing")
    options = parser.parse_args()
    if options.print:
        print(json.dumps(measure(options.print, options.seconds)))
        return
    context = describe_machine_to_publish()
    networks: dict[str, dict[str, Any]] = {}
    for name in NETWORKS:
        networks[name] = {
            "AVX-512": measure(name, options.seconds),
            "AVX2": measure_avx2(name, options.seconds),
        }
        for kernels, found in networks[name].items():
            print(name, kernels, found["latency_us"], found["original_over"], flush=True)
    context["load_avg_after"] = list(os.getloadavg())
    results = {"context": context, "networks": networks}
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    write_block(README, BLOCK, markdown(results))


if __name__ == "__main__":
    main()
