"""A binary MobileNetV2 against its float original: `python benchmarks/mobilenet.py`; a minute.

Both networks have the layers of Sandler et al., MobileNetV2 (CVPR 2018), table 2, with random
weights, which do not influence the time. In the binary one, the inputs and weights of all layers
of the inverted residuals are signs, the depthwise ones among them; between them are batch norms,
and real values go around them on the skip connections. The first layer and the classifier stay
real. The original runs in ONNX Runtime, in float32; so does the binary network for comparison.
All are interleaved, one image at a time on one thread. Writes results/mobilenet.json and the table
of README.md.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from float_twin import artifact_of
from markdown_block import write_block
from table import machine
from torch import nn

from bnnkit.artifact.artifact import Artifact
from bnnkit.bench.baselines import open_benchmarked
from bnnkit.bench.benchmark import interleave, random_images, ratio
from bnnkit.bench.machine import describe_machine_to_publish
from bnnkit.bench.step_times import step_times
from bnnkit.files.atomic import write_text
from bnnkit.nn import BinaryConv2d, Sign

FOLDER = Path(__file__).parent
RESULTS, README, BLOCK = FOLDER / "results" / "mobilenet.json", FOLDER / "README.md", "mobilenet"
ORIGINAL, BINARY = "original in onnxruntime-fp32", "binary in bnnkit"
INVERTED_RESIDUALS = (
    # expansion, channels, repetitions, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
SIZES = {"mobilenet-v2, 224x224": (224, 2), "mobilenet-v2, 32x32": (32, 1)}
"""Side of the image and stride of the first layer."""


def conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Build a real convolution with batch norm."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


def binary_conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Build a binary convolution with the sign before it and the batch norm behind it."""
    layer = BinaryConv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
    return nn.Sequential(Sign(), layer, nn.BatchNorm2d(outputs))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection, with a skip connection where it fits."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, expansion: int, *, is_binary: bool
    ) -> None:
        super().__init__()
        make, hidden = binary_conv if is_binary else conv, inputs * expansion
        act = [] if is_binary else [nn.ReLU6()]
        wide = [make(inputs, hidden, 1), *act] if expansion > 1 else []
        depthwise = [make(hidden, hidden, 3, stride, hidden), *act]
        self.layers = nn.Sequential(*wide, *depthwise, make(hidden, outputs, 1))
        self.has_skip = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return x + y if self.has_skip else y


def network(stride: int, *, is_binary: bool) -> nn.Module:
    """Build MobileNetV2 of width 1, with 1,000 classes."""
    blocks, inputs = nn.ModuleList(), 32
    for expansion, outputs, repetitions, first in INVERTED_RESIDUALS:
        for i in range(repetitions):
            step = first if i == 0 else 1
            blocks.append(InvertedResidual(inputs, outputs, step, expansion, is_binary=is_binary))
            inputs = outputs
    last = (binary_conv if is_binary else conv)(inputs, 1280, 1)
    head = [nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return nn.Sequential(conv(3, 32, 3, stride), nn.ReLU6(), *blocks, last, *head)


def artifact(size: int, stride: int, *, is_binary: bool) -> Artifact:
    """Export MobileNetV2, as `artifact_of`."""
    torch.manual_seed(0)
    return artifact_of(network(stride, is_binary=is_binary), (3, size, size))


def measure(size: int, stride: int, seconds: float) -> dict[str, Any]:
    """Return the latencies of the networks, their ratios to the original, and the steps."""
    binary = artifact(size, stride, is_binary=True)
    original = artifact(size, stride, is_binary=False)
    images = random_images(binary, 1)
    engines = [
        open_benchmarked("onnxruntime-fp32", original, threads=1),
        open_benchmarked("bnnkit", binary, threads=1),
        open_benchmarked("onnxruntime-fp32", binary, threads=1),
    ]
    names = ORIGINAL, BINARY, "binary in onnxruntime-fp32"
    found = interleave([(engine, 1) for engine in engines], images, seconds)
    return {
        "median_us": {name: round(m.median_us, 1) for name, m in zip(names, found, strict=True)},
        "original_over": {
            name: asdict(ratio(found[0], m)) for name, m in zip(names[1:], found[1:], strict=True)
        },
        "steps": [asdict(step) for step in step_times(binary, images, runs=100)],
    }


def markdown(results: dict[str, Any]) -> str:
    """Return a line about the machine, and the table of the original and the binary network."""
    lines = [
        "| network | float original, ms | binary in bnnkit, ms | times as fast |"
        " 10th to 90th percentile | fastest runs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, found in results["networks"].items():
        times, speed = found["median_us"], found["original_over"][BINARY]
        cells = [name, *(f"{times[one] / 1e3:.2f}" for one in (ORIGINAL, BINARY))]
        cells += [f"{speed['median']:.2f}", f"{speed['low']:.2f} to {speed['high']:.2f}"]
        lines.append(f"| {' | '.join(cells)} | {speed['least']:.2f} |")
    return "\n".join([machine(results["context"]), "", *lines])


def main() -> None:
    """Measure both sizes, print the ratios, and write the results and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="time of each engine")
    seconds = parser.parse_args().seconds
    context = describe_machine_to_publish()
    networks = {}
    for name, (size, stride) in SIZES.items():
        networks[name] = found = measure(size, stride, seconds)
        print(name, found["median_us"], found["original_over"], flush=True)
    context["load_avg_after"] = list(os.getloadavg())
    results = {"context": context, "networks": networks}
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    write_block(README, BLOCK, markdown(results))


if __name__ == "__main__":
    main()
