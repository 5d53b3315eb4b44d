"""Modelled speed of the kernels on AArch64, without a board: `python benchmarks/arm_model.py`.

It takes half an hour, and writes results/arm_model.json and the tables of docs/boards.md.
Kernels are compiled for each CPU (arm_code.py) and run layers, and the CIFAR network, under
qemu-user, where every output is compared with that of this CPU's kernels. The executed
instructions (arm_trace.c) go as one straight line through llvm-mca (arm_program.py, which says
what has to be installed).

The model has no cache misses, no mispredicted branches, no delays of stores that are loaded again,
and its A76 is the Neoverse N1. It ranks kernels; only a board gives times.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from arm_program import CORES, HERE, Core, Program, cycles, run, text_of
from arm_table import markdown
from markdown_block import write_block
from networks import SEED, ZERO_POINT, vgg
from torch import Tensor, nn

from bnnkit import nn as binary
from bnnkit.artifact.deterministic import derandomized
from bnnkit.artifact.format.constants import Mode
from bnnkit.export import export_onnx
from bnnkit.files.atomic import write_text

STORED = HERE / "results" / "arm_model.json"
PAGE = HERE.parent / "docs" / "boards.md"
FORMS = {"now": "panel", "before": "popcount"}
"""Forms of arm_code.py."""
CHANNELS = (64, 128, 256, 512)
LARGEST_BEFORE = 256
"""Channels up to which the kernels before are modelled too."""
COLUMNS = 4
"""Output pixels of a binary layer: one panel."""
COUNTED = CORES[1]
"""The core whose instructions of the CIFAR network are counted."""


class FirstLayer(NamedTuple):
    """A layer of 8-bit images, with its sizes and those of its image."""

    name: str
    inputs: int
    outputs: int
    size: int
    rows: int
    columns: int

    @property
    def macs(self) -> int:
        """Return the products of an image."""
        return self.rows * self.columns * self.inputs * self.outputs * self.size**2


FIRST_LAYERS = (
    FirstLayer("3x3, 3 to 128 channels (CIFAR)", 3, 128, 3, 2, 32),
    FirstLayer("5x5, 1 to 32 channels (MNIST)", 1, 32, 5, 4, 28),
)

NOISY = FirstLayer("sums for noise", 1, 256, 1, 2, 8)


def binary_layer(channels: int, path: Path) -> None:
    """Export a 3x3 layer between signs, with batch norm, for COLUMNS output pixels."""
    torch.manual_seed(SEED)
    layers = (binary.Sign(), binary.BinaryConv2d(channels, channels, 3))
    _export([*layers, nn.BatchNorm2d(channels)], torch.randn(8, channels, 3, COLUMNS + 2), path)


def first_layer(layer: FirstLayer, path: Path) -> None:
    """Export a first layer, with batch norm and signs."""
    _export([*_first(layer), nn.BatchNorm2d(layer.outputs)], _images(layer), path)


def noisy_layer(path: Path) -> None:
    """Export stochastic signs of the sums of a first layer."""
    normalized = [*_first(NOISY), nn.BatchNorm2d(NOISY.outputs)]
    _export(normalized, _images(NOISY), path, "samples")


def _first(layer: FirstLayer) -> list[nn.Module]:
    torch.manual_seed(SEED)
    points = ZERO_POINT[: layer.inputs]
    sizes = layer.inputs, layer.outputs, layer.size
    return [binary.IntegerConv2d(*sizes, padding=layer.size // 2, zero_point=points)]


def _images(layer: FirstLayer) -> Tensor:
    shape = 8, layer.inputs, layer.rows, layer.columns
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def _export(
    layers: list[nn.Module], inputs: Tensor, path: Path, mode: Mode = "deterministic"
) -> None:
    """Export layers and signs behind them, after batch norms have seen the inputs."""
    network = nn.Sequential(*layers, binary.Sign())
    with torch.no_grad():
        for _ in range(5):
            network(inputs)
    export_onnx(network.eval(), inputs[:1], path, mode=mode)


class Bench:
    """A folder for programs, and the plugin that traces them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.plugin = folder, folder / "trace.so"
        self._count = 0
        run(["cc", "-O2", "-shared", "-fPIC", "-o", self.plugin, HERE / "arm_trace.c"])

    def program(self, network: Path, form: str, core: Core) -> Program:
        """Compile a network."""
        self._count += 1
        return Program(network, FORMS[form], core, self.folder / str(self._count))

    def traced(self, program: Program, kernels: list[str]) -> dict[str, Any]:
        """Run a program, and model the instructions of some of its kernels."""
        lines = text_of(program.trace(kernels, self.plugin))
        mix = dict(Counter(line.split()[0] for line in lines).most_common(8))
        return {"instructions": len(lines), "cycles": cycles(lines, program.core), "mix": mix}


def measure_binary(bench: Bench) -> Iterator[dict[str, Any]]:
    """Model all binary layers."""
    for channels in CHANNELS:
        network = bench.folder / f"{channels}.onnx"
        binary_layer(channels, network)
        for form in FORMS if channels <= LARGEST_BEFORE else ("now",):
            for core in CORES:
                program = bench.program(network, form, core)
                (kernel,) = (name for name in program.kernels if name.endswith("_to_signs"))
                found = bench.traced(program, [kernel])
                loop, loop_macs = program.hottest_loop(kernel)
                alone = loop_macs / cycles(loop, core, 2000) if loop_macs else None
                yield {
                    "channels": channels,
                    "form": form,
                    "core": core.name,
                    **found,
                    "macs_per_cycle": COLUMNS * channels * channels * 9 / found["cycles"],
                    "loop_only": alone,
                }


def measure_first(bench: Bench) -> Iterator[dict[str, Any]]:
    """Model all first layers, with the subtraction of zero points."""
    for number, layer in enumerate(FIRST_LAYERS):
        network = bench.folder / f"first-{number}.onnx"
        first_layer(layer, network)
        for form in FORMS:
            for core in CORES:
                program = bench.program(network, form, core)
                kernels = [name for name in program.kernels if name != "unpack"]
                found = bench.traced(program, kernels)
                rate = layer.macs / found["cycles"]
                yield {
                    "layer": layer.name,
                    "form": form,
                    "core": core.name,
                    "kernels": kernels,
                    **found,
                    "macs_per_cycle": rate,
                }


def measure_noise(bench: Bench) -> Iterator[dict[str, Any]]:
    """Model the stochastic signs of sums."""
    network = bench.folder / "noise.onnx"
    noisy_layer(network)
    signs = NOISY.rows * NOISY.columns * NOISY.outputs
    for form in FORMS:
        for core in CORES:
            found = bench.traced(bench.program(network, form, core), ["sample_sums"])
            per_sign = found["cycles"] / signs
            yield {"form": form, "core": core.name, **found, "cycles_per_sign": per_sign}


def measure_network(bench: Bench) -> dict[str, int]:
    """Count the instructions of all kernels of the CIFAR network."""
    network = bench.folder / "network.onnx"
    onnx.save(derandomized(vgg()), network)
    counts = {}
    for form in FORMS:
        program = bench.program(network, form, COUNTED)
        counts[form] = len(program.trace(program.kernels, bench.plugin))
    return counts


def _printed(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        found.append(row | {k: round(v, 3) for k, v in row.items() if isinstance(v, float)})
        print(found[-1], flush=True)
    return found


def main() -> None:
    """Model all layers, and write the results and the table."""
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        results = {
            "first": _printed(measure_first(bench)),
            "noise": _printed(measure_noise(bench)),
            "binary": _printed(measure_binary(bench)),
            "instructions of the CIFAR network": measure_network(bench),
        }
    write_text(STORED, json.dumps(results, indent=1) + "\n")
    write_block(PAGE, "arm model", markdown(results))


if __name__ == "__main__":
    main()
