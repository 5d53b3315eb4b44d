"""Modelled speed of exported C on AArch64 beside the runtime's kernels, without a board.

    python benchmarks/arm_c_model.py    # writes results/arm_c_model.json and docs/c.md's table

The CIFAR network, and a 3x3 layer of 256 channels, run once as C and once as the runtime's kernels
under qemu-user, and the outputs are compared. The instructions that each call executes, with those
of the C library, go through llvm-mca: of a long call a stretch from its middle, whose cycles are
those of the whole call in proportion. arm_model.py says what the model lacks and what it needs.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from arm_model import COLUMNS, binary_layer
from arm_program import CORES, Core, Program, cycles, run, text_of
from markdown_block import write_block
from networks import SEED, vgg

from bnnkit import runtime
from bnnkit.artifact.deterministic import derandomized
from bnnkit.bench.benchmark import random_images
from bnnkit.files.atomic import write_text
from bnnkit.runtime import open_artifact
from bnnkit.runtime.c_code import export_c

HERE = Path(__file__).parent
STORED = HERE / "results" / "arm_c_model.json"
PAGE = HERE.parent / "docs" / "c.md"
COMPILER = "aarch64-linux-gnu-gcc"
FLAGS = ("-std=c99", "-O3", "-ffp-contract=off", "-static")
CHANNELS = 256
"""Of the layer that is modelled alone."""
STRETCH = 40_000
"""Instructions of a call that are modelled."""
Calls = list[list[int]]


def traced_source(source: str) -> str:
    """Put each call of the pass without noise between begin() and end()."""
    before, start, rest = source.partition("static void pass(")
    body, stop, after = rest.partition("\n}\n")
    marked = re.sub(r"^  (bnn_\w+\(.*\));$", r"  begin(), \1, end();", body, flags=re.M)
    return before + start + marked + stop + after


def calls_of_c(network: Path, core: Core, folder: Path, plugin: Path) -> Calls:
    """Run a network as C, compare its output, and return the instructions of its calls."""
    export_c(network, folder)
    source = (folder / "bnn.c").read_text()
    (folder / "traced.c").write_text(traced_source(source))
    images = random_images(open_artifact(network), 1, SEED)
    kind = "uint8_t" if images.dtype == np.uint8 else "float"
    options = [f"-I{folder}", f"-DINPUT={kind}", f"-mcpu={core.name}"]
    run([COMPILER, *FLAGS, *options, HERE / "arm_c_run.c", "-o", folder / "run"])
    images.tofile(folder / "input.bin")
    calls = trace(folder, core, plugin, folder / "input.bin", folder / "output.bin")
    want = np.asarray(runtime.load(network).run(images))
    assert (folder / "output.bin").read_bytes() == want.tobytes(), "the outputs differ"
    return calls


def calls_of_kernels(network: Path, core: Core, folder: Path, plugin: Path) -> Calls:
    """Run a network's kernels, compare their output, and return the instructions of the calls."""
    program = Program(network, "panel", core, folder)
    calls = trace(folder, core, plugin, folder / "image.bin", folder / "after.bin")
    program.compare()
    return calls


def trace(folder: Path, core: Core, plugin: Path, *files: Path) -> Calls:
    """Run the program of a folder and return the instructions between begin() and end()."""
    program, out = folder / "run", folder / "trace"
    rows = [line.split() for line in run(["aarch64-linux-gnu-nm", program]).splitlines()]
    at = {row[2]: row[0] for row in rows if len(row) == 3}
    options = f"{plugin},begin=0x{at['begin']},end=0x{at['end']},out={out}"
    run(["qemu-aarch64", "-cpu", core.name, "-plugin", options, program, *files])
    instructions = np.fromfile(out, "<u4")
    out.unlink()
    starts = np.flatnonzero(instructions == 0)  # 0 is written at begin()
    return [call[1:].tolist() for call in np.split(instructions, starts) if len(call) > 1]


def cycles_of(instructions: list[int], core: Core) -> float:
    """Return the modelled cycles of a call."""
    first = max(0, (len(instructions) - STRETCH) // 2)
    stretch = instructions[first : first + STRETCH]
    return cycles(text_of(stretch), core) * len(instructions) / len(stretch)


def measure_layer(core: Core, folder: Path, plugin: Path) -> dict[str, Any]:
    """Model the layer alone: the call with the most instructions."""
    network = folder / "layer.onnx"
    binary_layer(CHANNELS, network)
    found: dict[str, Any] = {"core": core.name}
    macs = COLUMNS * 9 * CHANNELS**2
    for name, calls in both(network, core, folder / f"layer-{core.name}", plugin):
        longest = max(calls, key=len)
        found[name] = {
            "instructions": len(longest),
            "macs_per_cycle": round(macs / cycles_of(longest, core), 2),
        }
    return found


def measure_network(core: Core, folder: Path, plugin: Path) -> dict[str, Any]:
    """Model all calls of the CIFAR network."""
    network = folder / "network.onnx"
    onnx.save(derandomized(vgg()), network)  # kernels of the pass without noise
    found: dict[str, Any] = {"core": core.name}
    for name, calls in both(network, core, folder / f"network-{core.name}", plugin):
        each = [(len(call), round(cycles_of(call, core))) for call in calls]
        found[name] = {
            "instructions": sum(count for count, _ in each),
            "cycles": sum(count for _, count in each),
            "calls": each,
        }
    return found


def both(network: Path, core: Core, folder: Path, plugin: Path) -> Iterator[tuple[str, Calls]]:
    """Yield the calls of a network as C and as the runtime's kernels."""
    folder.mkdir()
    yield "c", calls_of_c(network, core, folder / "c", plugin)
    yield "runtime", calls_of_kernels(network, core, folder / "runtime", plugin)


def measure() -> dict[str, Any]:
    """Model the layer and the network on all cores."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin = folder / "trace.so"
        run(["cc", "-O2", "-shared", "-fPIC", "-o", plugin, HERE / "arm_trace.c"])
        results: dict[str, Any] = {"layer": [], "network": []}
        for core in CORES:
            results["layer"].append(measure_layer(core, folder, plugin))
            results["network"].append(measure_network(core, folder, plugin))
            print(results["layer"][-1], results["network"][-1], flush=True)
    return results


def markdown(results: dict[str, Any]) -> str:
    """Return the table."""
    lines = [
        "| core | 3x3 layer, MACs a cycle: C | runtime | C of the runtime's rate |"
        " CIFAR network, million cycles: C | runtime | C of the runtime's rate |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one, whole in zip(results["layer"], results["network"], strict=True):
        rates = [one[name]["macs_per_cycle"] for name in ("c", "runtime")]
        counts = [whole[name]["cycles"] for name in ("c", "runtime")]
        cells = [one["core"].removeprefix("cortex-").upper()]
        cells += [f"{rate:.1f}" for rate in rates] + [f"{rates[0] / rates[1]:.0%}"]
        cells += [f"{count / 1e6:.1f}" for count in counts] + [f"{counts[1] / counts[0]:.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Model both, and write the results and the table."""
    results = measure()
    write_text(STORED, json.dumps(results, indent=1) + "\n")
    write_block(PAGE, "arm c model", markdown(results))


if __name__ == "__main__":
    main()
