"""Networks as programs for AArch64: emulated, traced, and modelled by llvm-mca.

Needs qemu-aarch64 (6 to 9, with plugins), llvm-mca and llvm-mc 19, and gcc for aarch64: Debian's
qemu-user, llvm-19, gcc-aarch64-linux-gnu.
"""

import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from networks import SEED
from numpy.typing import NDArray

from bnnkit import runtime
from bnnkit.artifact.format.sample import Sample
from bnnkit.bench.benchmark import random_images
from bnnkit.runtime import open_artifact

HERE = Path(__file__).parent
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


class Program:
    """A network's kernels, compiled for a core and ready to run under emulation."""

    def __init__(self, network: Path, form: str, core: Core, folder: Path) -> None:
        folder.mkdir()
        self.core, self.folder = core, folder
        artifact, model = open_artifact(network), runtime.load(network)
        images = random_images(artifact, 1, SEED)
        is_noisy = artifact.is_stochastic
        found = model.run_sample(images, Sample()) if is_noisy else model.run(images)
        self.want = np.asarray(found)
        np.save(folder / "input.npy", images)
        run([sys.executable, HERE / "arm_code.py", network, form, folder, core.name])
        self.facts = json.loads((folder / "plan.json").read_text())
        self.kernels: list[str] = self.facts["kernels"]
        self.objects = {
            name: folder.parent / f"{form}-{core.name}" / name for name in self.kernels
        }
        compiler = ["aarch64-linux-gnu-gcc", "-O2", "-static", f"-I{folder}"]
        objects = [path.with_suffix(".o") for path in self.objects.values()]
        run([*compiler, "-o", folder / "run", HERE / "arm_run.c", *objects])

    def trace(self, kernels: list[str], plugin: Path) -> list[int]:
        """Run the network, compare its outputs, and return the instructions of these kernels."""
        low, high = self._reach(kernels)
        out = self.folder / "trace"
        options = f"{plugin},low={low:#x},high={high:#x},out={out}"
        program = [self.folder / "run", self.folder / "image.bin", self.folder / "after.bin"]
        run(["qemu-aarch64", "-cpu", self.core.name, "-plugin", options, *program])
        self.compare()
        content = out.read_bytes()
        out.unlink()
        return list(struct.unpack(f"<{len(content) // 4}I", content))

    def _reach(self, kernels: list[str]) -> tuple[int, int]:
        """Return the addresses of the kernels with their inner functions: objects are in order."""
        lines = run(["aarch64-linux-gnu-nm", "-n", self.folder / "run"]).splitlines()
        symbols = [(int(a, 16), name) for a, kind, name in map(str.split, lines) if kind in "tTwW"]
        named = [(at, name) for at, name in symbols if name not in ("$x", "$d")]
        inner = set()
        for kernel in kernels:
            lines = run(
                ["aarch64-linux-gnu-nm", self.objects[kernel].with_suffix(".o")]
            ).splitlines()
            parts = [line.split()[-2:] for line in lines]
            inner |= {name for kind, name in parts if kind in "tTwW" and name[0] != "$"}
        own = [at for at, name in named if name in inner]
        return min(own), min(at for at, _ in named if at > max(own))

    def compare(self) -> None:
        """Compare the output of the last run with the runtime's.

        Raises:
            AssertionError: If they differ.
        """
        facts = self.facts
        raw = (self.folder / "after.bin").read_bytes()
        place = facts["place"], facts["strides"]
        found: NDArray[Any] = np.ndarray(facts["shape"], facts["dtype"], raw, *place)
        np.testing.assert_array_equal(found, self.want)

    def hottest_loop(self, kernel: str) -> tuple[list[str], int]:
        """Return the loop with the most cnt instructions, and the MACs of one pass."""
        lines = self.objects[kernel].with_suffix(".s").read_text().splitlines()
        best: list[str] = []
        label, start = "", 0
        for index, line in enumerate(lines):
            if found := re.match(r"^(\.L\w+):", line):
                label, start = found[1], index + 1
            elif label and re.match(rf"^\s+(b\.?\w*|cbn?z|tbn?z)\s.*{re.escape(label)}$", line):
                body = [one for one in lines[start : index + 1] if re.match(r"^\s+[a-z]", one)]
                best = max(best, body, key=_counts)
        return best, 128 * _counts(best)


def _counts(lines: list[str]) -> int:
    return sum(bool(re.match(r"^\s+cnt\s+v\d+\.16b", line)) for line in lines)


def text_of(instructions: list[int]) -> list[str]:
    """Disassemble instructions; calls and returns become nop, which the model knows."""
    different = sorted(set(instructions))
    octets = "\n".join(" ".join(f"{byte:#x}" for byte in struct.pack("<I", i)) for i in different)
    command = [f"llvm-mc-{LLVM}", "--disassemble", "--triple=aarch64", "--mattr=+all"]
    found = [line.strip() for line in run(command, octets).splitlines()]
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
    found = run([*command, f"--iterations={passes}", "--json", "-"], "\n".join([*lines, ""]))
    (region,) = json.loads(found)["CodeRegions"]
    return float(region["SummaryView"]["TotalCycles"]) / passes


def run(command: list[Any], given: str | None = None) -> str:
    done = subprocess.run(
        list(map(str, command)), input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip()[-800:]}")
    return done.stdout
