"""A binary transformer encoder against its float twin: `python benchmarks/encoder.py`.

Takes two minutes. Both have 4 layers that are 256 wide, 4 heads, 1,024 hidden units and 128
tokens, with random weights, which do not influence the time. All inner products of the binary one,
`bnnkit.models.TransformerEncoder`, are of signs with signs. Its twin, torch's own
`TransformerEncoder`, runs in ONNX Runtime in float32; so does the binary one, for comparison.
Signs and outputs of the binary one are compared with the reference first.
`NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=` restricts bnnkit's kernels to AVX2, but not those of
ONNX Runtime.

All take turns in the same rounds, one sequence at a time on one thread. Times are those of the
CPU, which other programs of the machine disturb less. Writes results/encoder.json, in which each
set of instructions has its entry, and the table of README.md.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cpu_times import float32_over, latency
from markdown_block import write_block
from numpy.typing import NDArray
from table import machine
from torch import nn

from bnnkit.artifact.artifact import Artifact
from bnnkit.bench.baselines import open_benchmarked
from bnnkit.bench.benchmark import interleave
from bnnkit.bench.machine import describe_machine_to_publish
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.files.atomic import write_text
from bnnkit.models import TransformerEncoder
from bnnkit.runtime.kernels.cpu import has_512_bits
from bnnkit.verification.verify import verify

FOLDER = Path(__file__).parent
RESULTS, README, BLOCK = FOLDER / "results" / "encoder.json", FOLDER / "README.md", "encoder"
TWIN, BINARY = "float twin in onnxruntime-fp32", "binary in bnnkit"
ENGINES = {
    TWIN: ("onnxruntime-fp32", "twin"),
    BINARY: ("bnnkit", "binary"),
    "binary in onnxruntime-fp32": ("onnxruntime-fp32", "binary"),
}
"""The engine and the network of each row of times."""
WIDTH, TOKENS, DEPTH, HEADS = 256, 128, 4, 4


def networks() -> dict[str, nn.Module]:
    """Build the binary encoder, whose signs are deterministic, and the float one."""
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, batch_first=True)
    return {
        "binary": TransformerEncoder(WIDTH, TOKENS, depth=DEPTH, heads=HEADS, noise="none"),
        "twin": nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False),
    }


def artifact(model: nn.Module) -> Artifact:
    """Export a network after its norms have seen random tokens, so that both signs occur."""
    tokens = torch.randn(4, TOKENS, WIDTH)
    with torch.no_grad():
        for _ in range(3):
            model(tokens)
    return from_torch(model.eval(), tokens[:1])


def check(binary: Artifact, tokens: NDArray[np.float32]) -> None:
    """Compare the signs and outputs of bnnkit and ONNX Runtime with the reference.

    Raises:
        ValueError: If they differ by more than the rounding of real numbers explains.
    """
    for found in verify(binary, tokens).comparisons:
        if not found.is_equal:
            raise ValueError(f"the binary encoder differs in {found.engine}: {found}")


def measure(seconds: float) -> dict[str, Any]:
    """Return the times of all, and how many times as fast as the twin they are."""
    torch.manual_seed(0)
    artifacts = {name: artifact(network) for name, network in networks().items()}
    tokens = np.random.default_rng(0).standard_normal((1, TOKENS, WIDTH)).astype(np.float32)
    check(artifacts["binary"], tokens)
    engines = [open_benchmarked(name, artifacts[one], threads=1) for name, one in ENGINES.values()]
    found = interleave([(engine, 1) for engine in engines], tokens, seconds)
    return {
        name: {"us": latency(one), "times_as_fast": float32_over(found[0], one)}
        for name, one in zip(ENGINES, found, strict=True)
    }


def markdown(results: dict[str, Any]) -> str:
    """Return a line about the machine, and the table with a row for each set of instructions."""
    lines = [
        "| bnnkit's instructions | float twin, ms | binary in bnnkit, ms | times as fast |"
        " 10th to 90th percentile |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, found in results.items():
        twin, binary = found["engines"][TWIN], found["engines"][BINARY]
        cells = [name, *(f"{one['us']['cpu'] / 1e3:.2f}" for one in (twin, binary))]
        speed = binary["times_as_fast"]
        cells += [f"{speed['cpu']:.2f}", f"{speed['cpu_p10']:.2f} to {speed['cpu_p90']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    last = list(results.values())[-1]
    return "\n".join([machine(last["context"]), "", *lines])


def main() -> None:
    """Measure, print the ratios, and write the results and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="time of each engine")
    seconds = parser.parse_args().seconds
    context = describe_machine_to_publish()
    engines = measure(seconds)
    context["load_avg_after"] = list(os.getloadavg())
    for name, row in engines.items():
        print(f"{name:32} {row['us']['cpu']:8.0f} us {row['times_as_fast']['cpu']:6.2f}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["AVX-512" if has_512_bits() else "AVX2"] = {"context": context, "engines": engines}
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    write_block(README, BLOCK, markdown(results))


if __name__ == "__main__":
    main()
