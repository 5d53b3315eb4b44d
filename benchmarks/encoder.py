"""A binary transformer encoder against its float twin: `python benchmarks/encoder.py`.

Takes two minutes. Both have 4 layers that are 256 wide, 4 heads, 1,024 hidden units and 128
tokens, with random weights, which do not influence the time. All inner products of the binary one,
`bnnkit.models.TransformerEncoder`, are of signs with signs. Its twin, torch's own
`TransformerEncoder`, runs in ONNX Runtime in float32; so does the binary one, for comparison.
Signs and outputs of the binary one are compared with the reference first.
`NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=` restricts bnnkit's kernels to AVX2, but not those of
ONNX Runtime.

All take turns in the same rounds, one sequence at a time on one thread, and a ratio is computed in
each round. Times are those of the calling thread's CPU, which other programs of the machine
disturb less; all engines compute in that thread. Writes results/encoder.json, in which each set of
instructions has its entry, and the table of README.md.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markdown_block import write_block
from numpy.typing import NDArray
from table import machine
from torch import nn

from bnnkit.artifact.artifact import Artifact
from bnnkit.bench.baselines import open_benchmarked
from bnnkit.bench.machine import describe_machine
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
ROUNDS = 61
RUNS = 3
"""Runs of an engine in a round, of which the least counts."""


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


def measure(rounds: int) -> dict[str, Any]:
    """Return the times of all, and their ratios to the twin's."""
    torch.manual_seed(0)
    artifacts = {name: artifact(network) for name, network in networks().items()}
    tokens = np.random.default_rng(0).standard_normal((1, TOKENS, WIDTH)).astype(np.float32)
    check(artifacts["binary"], tokens)
    runs = [_run(engine, artifacts[name], tokens) for engine, name in ENGINES.values()]
    times = np.array([[_turn(run) for run in runs] for _ in range(rounds)])
    return {"rounds": rounds, "engines": dict(zip(ENGINES, _rows(times), strict=True))}


def _run(engine: str, network: Artifact, tokens: NDArray[np.float32]) -> Callable[[], object]:
    opened = open_benchmarked(engine, network, threads=1)
    opened.run(tokens)  # compiles and warms up
    return lambda: opened.run(tokens)


def _turn(run: Callable[[], object]) -> float:
    """Return the CPU time of the fastest of a few runs, in microseconds."""
    passed = []
    for _ in range(RUNS):
        start = time.thread_time_ns()
        run()
        passed.append(time.thread_time_ns() - start)
    return min(passed) / 1e3


def _rows(times: NDArray[np.float64]) -> list[dict[str, float]]:
    """Return the median time of each column, and the first column's times over its own."""
    rows = []
    for column in times.T:
        low, median, high = np.percentile(times[:, 0] / column, (10, 50, 90))
        fields = {
            "us": np.median(column),
            "least_us": column.min(),
            "times_as_fast": median,
            "low": low,
            "high": high,
        }
        rows.append({name: round(float(number), 3) for name, number in fields.items()})
    return rows


def markdown(results: dict[str, Any]) -> str:
    """Return a line about the machine, and the table with a row for each set of instructions."""
    lines = [
        "| bnnkit's instructions | float twin, ms | binary in bnnkit, ms | times as fast |"
        " 10th to 90th percentile |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, found in results.items():
        twin, binary = found["engines"][TWIN], found["engines"][BINARY]
        cells = [name, *(f"{row['us'] / 1e3:.2f}" for row in (twin, binary))]
        cells += [f"{binary['times_as_fast']:.2f}", f"{binary['low']:.2f} to {binary['high']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    last = list(results.values())[-1]
    return "\n".join([machine(last["context"]), "", *lines])


def main() -> None:
    """Measure, print the ratios, and write the results and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    context = describe_machine()
    del context["host_name"], context["executable"]  # don't publish the machine's name
    found = measure(rounds)
    context["load_avg_after"] = describe_machine()["load_avg"]
    for name, row in found["engines"].items():
        print(f"{name:32} {row['us']:8.0f} us {row['times_as_fast']:6.2f} times as fast")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["AVX-512" if has_512_bits() else "AVX2"] = {"context": context, **found}
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    write_block(README, BLOCK, markdown(results))


if __name__ == "__main__":
    main()
