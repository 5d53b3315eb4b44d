"""Modelled speed of the binary kernels on AArch64, without a board.

    python benchmarks/arm_model.py            # writes results/arm_model.json and README.md's table

Kernels are compiled for each CPU (arm_code.py) and run one layer, and the CIFAR network, under
qemu-user, where every output is compared with that of this CPU's kernels. The executed
instructions (arm_trace.c) go as one straight line through llvm-mca. Needs qemu-aarch64 (6 to 9,
with plugins), llvm-mca and llvm-mc 19, and gcc for aarch64: Debian's qemu-user, llvm-19,
gcc-aarch64-linux-gnu.

The model has no cache misses, no mispredicted branches, no delays of stores that are loaded again,
and its A76 is the Neoverse N1. It ranks kernels; only a board gives times.
"""

import json
import re
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from markdown_block import write_block
from networks import SEED, vgg
from numpy.typing import NDArray
from torch import nn

from bnnkit import nn as binary
from bnnkit import runtime
from bnnkit.export import export_onnx
from bnnkit.files.atomic import write_text

HERE = Path(__file__).parent
STORED = HERE / "results" / "arm_model.json"
README = HERE / "README.md"
CHANNELS = (64, 128, 256, 512)
COLUMNS = 4
"""Output pixels of the layer: one panel."""
NEW = "panels"
FORMS = {NEW: "panel", "words, before": "popcount"}
MOST_SHOWN = 256
"""The number of channels at which the kernels before are modelled too."""
LLVM = 19


class Core(NamedTuple):
    """A CPU core in the model."""

    name: str
    model: str
    """Its name in llvm-mca."""
    pipes: int
    """128-bit vector operations a cycle."""
    loads_issue: bool
    """Whether a vector load takes the cycle of a vector operation."""


CORES = (
    Core("cortex-a53", "cortex-a53", 1, loads_issue=True),
    Core("cortex-a72", "cortex-a72", 2, loads_issue=False),
    Core("cortex-a76", "neoverse-n1", 2, loads_issue=False),
)
LCE_LOOPS = {
    "LCE, 4x4 (its default), loop only": (11.8, 78.6, 78.7),
    "LCE, indirect 8x4x4, loop only": (30.3, 85.3, 85.3),
}
"""MACs a cycle of the inner loops of Larq Compute Engine for AArch64, one for each core: measured
once by hand in the same model, from the assembly of core/bgemm/kernels_aarch64.h and
core/indirect_bgemm/kernel_8x4x4_aarch64.h."""
OPERATIONS = 3
"""Vector operations (eor, cnt, add) for 128 MACs."""
LOADS = 8 / 16
"""Vector loads for 128 MACs of a tile of four pixels and four channels."""


def bound(core: Core, *, loads: bool = True) -> float:
    """Return the MACs a cycle that fill the vector pipes, with loads where they issue there."""
    operations = OPERATIONS + (LOADS if loads and core.loads_issue else 0)
    return 128 * core.pipes / operations


def layer(channels: int, path: Path) -> None:
    """Export a 3x3 layer between signs, with batch norm, for COLUMNS output pixels."""
    torch.manual_seed(SEED)
    convolution = binary.BinaryConv2d(channels, channels, 3)
    network = nn.Sequential(binary.Sign(), convolution, nn.BatchNorm2d(channels), binary.Sign())
    inputs = torch.randn(8, channels, 3, COLUMNS + 2)
    with torch.no_grad():
        for _ in range(5):
            network(inputs)
    export_onnx(network.eval(), inputs[:1], path)


class Program:
    """A network's kernels, compiled for a core and ready to run under emulation."""

    def __init__(self, network: Path, form: str, core: Core, folder: Path) -> None:
        folder.mkdir()
        self.core, self.folder = core, folder
        images = _images(network)
        self.want = np.asarray(runtime.load(network).run(images))
        np.save(folder / "input.npy", images)
        command = [sys.executable, str(HERE / "arm_code.py"), str(network), form, str(folder)]
        _run([*command, core.name])
        objects = sorted(folder.glob("*.o"))
        self.kernels = [path.stem for path in objects]
        compiler = ["aarch64-linux-gnu-gcc", "-O2", "-static", f"-I{folder}"]
        _run([*compiler, "-o", folder / "run", HERE / "arm_run.c", *objects])

    def trace(self, kernels: list[str], plugin: Path) -> list[int]:
        """Run the network, compare its outputs, and return the instructions of these kernels."""
        low, high = self._reach(kernels)
        out = self.folder / "trace"
        options = f"{plugin},low={low:#x},high={high:#x},out={out}"
        program = [self.folder / "run", self.folder / "image.bin", self.folder / "after.bin"]
        _run(["qemu-aarch64", "-cpu", self.core.name, "-plugin", options, *program])
        self._compare()
        content = out.read_bytes()
        out.unlink()
        return list(struct.unpack(f"<{len(content) // 4}I", content))

    def _reach(self, kernels: list[str]) -> tuple[int, int]:
        """Return the addresses of the kernels with their inner functions: objects are in order."""
        lines = _run(["aarch64-linux-gnu-nm", "-n", self.folder / "run"]).splitlines()
        symbols = [(int(a, 16), name) for a, kind, name in map(str.split, lines) if kind in "tTwW"]
        named = [(at, name) for at, name in symbols if name not in ("$x", "$d")]
        inner = set()
        for kernel in kernels:
            lines = _run(["aarch64-linux-gnu-nm", self.folder / f"{kernel}.o"]).splitlines()
            parts = [line.split()[-2:] for line in lines]
            inner |= {name for kind, name in parts if kind in "tTwW" and name[0] != "$"}
        own = [at for at, name in named if name in inner]
        return min(own), min(at for at, _ in named if at > max(own))

    def _compare(self) -> None:
        facts = json.loads((self.folder / "plan.json").read_text())
        raw = (self.folder / "after.bin").read_bytes()
        place = facts["place"], facts["strides"]
        found: NDArray[Any] = np.ndarray(facts["shape"], facts["dtype"], raw, *place)
        np.testing.assert_array_equal(found, self.want)

    def hottest_loop(self, kernel: str) -> tuple[list[str], int]:
        """Return the loop with the most cnt instructions, and the MACs of one pass."""
        lines = (self.folder / f"{kernel}.s").read_text().splitlines()
        best: list[str] = []
        label, start = "", 0
        for index, line in enumerate(lines):
            if found := re.match(r"^(\.L\w+):", line):
                label, start = found[1], index + 1
            elif label and re.match(rf"^\s+(b\.?\w*|cbn?z|tbn?z)\s.*{re.escape(label)}$", line):
                body = [one for one in lines[start : index + 1] if re.match(r"^\s+[a-z]", one)]
                best = max(best, body, key=_counts)
        return best, 128 * _counts(best)


def _images(network: Path) -> NDArray[Any]:
    """Draw one random input of a network."""
    model, rng = runtime.load(network), np.random.default_rng(SEED)
    shape = (1, *model.input_shape)
    if model.input_dtype == np.uint8:
        return rng.integers(0, 256, shape, np.uint8)
    return rng.standard_normal(shape).astype(np.float32)


def _counts(lines: list[str]) -> int:
    return sum(bool(re.match(r"^\s+cnt\s+v\d+\.16b", line)) for line in lines)


def text_of(instructions: list[int]) -> list[str]:
    """Disassemble instructions; calls and returns become nop, which the model knows."""
    different = sorted(set(instructions))
    octets = "\n".join(" ".join(f"{byte:#x}" for byte in struct.pack("<I", i)) for i in different)
    command = [f"llvm-mc-{LLVM}", "--disassemble", "--triple=aarch64", "--mattr=+all"]
    found = [line.strip() for line in _run(command, octets).splitlines()]
    found = [line for line in found if line and not line.startswith(".")]
    assert len(found) == len(different), "an instruction was not disassembled"
    names = {
        instruction: "nop" if re.match(r"(ret|blr?)\b", line) else line
        for instruction, line in zip(different, found, strict=True)
    }
    return [names[instruction] for instruction in instructions]


def cycles(lines: list[str], core: Core, passes: int = 1) -> float:
    """Return the modelled cycles of one pass over a straight line of instructions."""
    command = [f"llvm-mca-{LLVM}", "--mtriple=aarch64-linux-gnu", f"--mcpu={core.model}"]
    found = _run([*command, f"--iterations={passes}", "--json", "-"], "\n".join([*lines, ""]))
    (region,) = json.loads(found)["CodeRegions"]
    return float(region["SummaryView"]["TotalCycles"]) / passes


def _run(command: list[Any], given: str | None = None) -> str:
    done = subprocess.run(
        list(map(str, command)), input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip()[-800:]}")
    return done.stdout


def measure_layer(
    channels: int, form: str, core: Core, network: Path, folder: Path, plugin: Path
) -> dict[str, Any]:
    """Model one layer on one core."""
    program = Program(network, FORMS[form], core, folder)
    (kernel,) = (name for name in program.kernels if name.endswith("_to_signs"))
    instructions = program.trace([kernel], plugin)
    lines = text_of(instructions)
    macs = COLUMNS * channels * channels * 9
    loop, loop_macs = program.hottest_loop(kernel)
    rate = macs / cycles(lines, core)
    return {
        "kernel": form,
        "channels": channels,
        "core": core.name,
        "instructions": len(lines),
        "macs_per_cycle": round(rate, 2),
        "of_bound": round(rate / bound(core), 3),
        "of_vector_operations": round(rate / bound(core, loads=False), 3),
        "loop_only": round(loop_macs / cycles(loop, core, 2000), 2) if loop_macs else None,
        "mix": dict(Counter(line.split()[0] for line in lines).most_common(8)),
    }


def measure_network(form: str, network: Path, folder: Path, plugin: Path) -> int:
    """Count the instructions of all kernels of a network, on an A72."""
    program = Program(network, FORMS[form], CORES[1], folder)
    return len(program.trace(program.kernels, plugin))


def measure() -> dict[str, Any]:
    """Model all layers, and count the instructions of the CIFAR network."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin = folder / "trace.so"
        _run(["cc", "-O2", "-shared", "-fPIC", "-o", plugin, HERE / "arm_trace.c"])
        layers = []
        for channels in CHANNELS:
            network = folder / f"{channels}.onnx"
            layer(channels, network)
            for form in FORMS if channels == MOST_SHOWN else (NEW,):
                for core in CORES:
                    place = folder / f"{channels}-{form}-{core.name}"
                    layers.append(measure_layer(channels, form, core, network, place, plugin))
                    print(layers[-1], flush=True)
        onnx.save(vgg(), network)
        counts = {
            form: measure_network(form, network, folder / f"network-{form}", plugin)
            for form in FORMS
        }
    return {"layers": layers, "lce": LCE_LOOPS, "instructions of the CIFAR network": counts}


def markdown(results: dict[str, Any]) -> str:
    """Return the table of the layers, the CIFAR network's count, and the source of LCE's rows."""
    names = [core.name.removeprefix("cortex-").upper() for core in CORES]
    lines = [
        f"| 3x3 layer | kernel | {' | '.join(names)} |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for channels in CHANNELS:
        for form in FORMS if channels == MOST_SHOWN else (NEW,):
            rows = {
                row["core"]: row
                for row in results["layers"]
                if (row["channels"], row["kernel"]) == (channels, form)
            }
            cells = [
                f"{rows[c.name]['macs_per_cycle']:.1f} ({rows[c.name]['of_bound']:.0%})"
                if c.name in rows
                else ""
                for c in CORES
            ]
            if rows:
                lines.append(f"| {channels} channels | {form} | {' | '.join(cells)} |")
    loops = [
        row
        for core in CORES
        for row in results["layers"]
        if (row["channels"], row["kernel"], row["core"]) == (256, "panels", core.name)
    ]
    cells = [f"{row['loop_only']:.1f}" for row in loops]
    lines.append(f"| 256 channels | panels, loop only | {' | '.join(cells)} |")
    for name, rates in results["lce"].items():
        lines.append(f"| 256 channels | {name} | {' | '.join(f'{r:.1f}' for r in rates)} |")
    bounds = [f"{bound(core):.1f}" for core in CORES]
    lines.append(f"| | bound | {' | '.join(bounds)} |")
    now, before = results["instructions of the CIFAR network"].values()
    count = (
        f"One image of the CIFAR network takes {now / 1e6:.1f} million instructions on an A72,"
        f" {now / before:.2f} of the {before / 1e6:.1f} million of the kernels before."
    )
    source = (
        "The script does not measure the two rows of LCE: they were measured once by hand, in the"
        " same model, from the assembly in LCE's `kernels_aarch64.h` and"
        " `kernel_8x4x4_aarch64.h`."
    )
    return "\n".join([*lines, "", count, "", source])


def main() -> None:
    """Model all layers, and write the results and the table."""
    results = measure()
    write_text(STORED, json.dumps(results, indent=1) + "\n")
    write_block(README, "arm model", markdown(results))


if __name__ == "__main__":
    main()
