"""Measure .tflite files in bnnkit and in LCE, interleaved, on one thread.

    python benchmarks/lce_networks.py FOLDER                       # creates the files
    python benchmarks/lce_latency.py FOLDER/*.tflite               # a minute; writes the table
    python benchmarks/lce_latency.py FILE.tflite --out FILE.json   # does not change the table

LCE runs a file in each of its kernels, and its outputs must be bnnkit's within 1e-4. Results are
kept for each form of bnnkit's kernels, results/lce-FORM-BITS.json, so that CPUs with and without
AVX-512 stand side by side.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from lce_table import write_lce_table
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.bench.benchmark import interleave, random_images, ratio
from bnnkit.bench.machine import describe_machine_to_publish
from bnnkit.engines import open_engine
from bnnkit.engines.lce import KERNELS, Kernel
from bnnkit.engines.lce_file import LceOnFile
from bnnkit.files.atomic import write_text
from bnnkit.runtime.kernels.cpu import binary_form, has_512_bits
from bnnkit.runtime.open_file import read

Array = NDArray[Any]
HERE = Path(__file__).parent
TOLERANCE = 1e-4


class LceKernel(LceOnFile):
    """LCE with one of its kernels, named after the kernel."""

    def __init__(self, artifact: Artifact, kernel: Kernel) -> None:
        super().__init__(artifact, kernel=kernel)
        self.name = f"lce, {kernel} kernel"


def measure(path: Path, seconds: float) -> dict[str, Any]:
    """Measure latencies and ratios for one file, as JSON."""
    artifact = read(path)
    assert artifact.tflite_source is not None, f"{path} is not a TFLite file"
    images = random_images(artifact, 1)
    lce_engines = [LceKernel(artifact, kernel) for kernel in KERNELS]
    engines = [open_engine("bnnkit", artifact), *lce_engines]
    reference = lce_engines[KERNELS.index("reference")]
    check(engines[0].run(images), reference.run(images))
    first, *others = interleave([(engine, 1) for engine in engines], images, seconds)
    return {
        "network": path.stem,
        "bytes": len(artifact.tflite_source),
        "latency_us": {
            one.engine: {"median": one.median_us, "least": float(one.wall_us.min())}
            for one in (first, *others)
        },
        "ratios": {other.engine: asdict(ratio(other, first)) for other in others},
    }


def check(found: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    """Stop if the results differ."""
    for one, other in zip(found, expected, strict=True):
        difference = float(np.abs(one.astype(float) - other.astype(float)).max())
        assert difference <= TOLERANCE, difference


def main() -> None:
    """Measure, and write results and table."""
    bits = 512 if has_512_bits() else 256
    stored = HERE / "results" / f"lce-{binary_form()}-{bits}.json"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.tflite")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each kernel and file")
    parser.add_argument("--out", type=Path, default=stored, metavar="FILE.json")
    options = parser.parse_args()
    context = describe_machine_to_publish()
    networks = [measure(path, options.seconds) for path in options.files]
    context["load_avg_after"] = list(os.getloadavg())
    kernels = f"{binary_form()}, {bits} bits"
    results = {"context": context, "kernels": kernels, "networks": networks}
    write_text(options.out, json.dumps(results, indent=1) + "\n")
    if options.out == stored:
        write_lce_table(HERE / "results", HERE / "README.md")


if __name__ == "__main__":
    main()
