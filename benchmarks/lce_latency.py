"""Measure .tflite files in bnnkit and in LCE, the same file, in the same rounds, on one thread.

    python benchmarks/lce_latency.py FILE.tflite ... [--seconds S] [--out FILE.json]

LCE runs the file in each of its kernels; the ratios are those of bnnkit to each of them. Outputs
are compared as well: within 1e-4 of LCE's reference kernel. benchmarks/lce_networks.py makes such
files.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.atomic import write_text
from bnnkit.benchmark import interleave, random_images, ratio
from bnnkit.engine import Engine
from bnnkit.engines import open_engine
from bnnkit.lce import KERNELS, Interpreter, Kernel
from bnnkit.machine import describe_machine
from bnnkit.runtime import artifact

Array = NDArray[Any]
TOLERANCE = 1e-4


class LceOnFile(Engine):
    """LCE's interpreter on the content of a file, one image a run."""

    def __init__(self, path: Path, kernel: Kernel) -> None:
        super().__init__(artifact.read(path))
        self.name, self.version = f"lce, {kernel} kernel", "0.16.0"
        self._interpreter = Interpreter(path.read_bytes(), kernel=kernel)

    def run(self, images: Array) -> tuple[Array, ...]:
        """As `Engine.run`."""
        return tuple(self._interpreter.run([images]))

    def trace(self, images: Array) -> dict[str, Array]:
        """Nothing: LCE shows no inner values."""
        return {}


def measure(path: Path, seconds: float) -> dict[str, Any]:
    """Latencies and ratios for one file, as JSON."""
    model = artifact.read(path)
    images = random_images(model, 1)
    engines: list[Engine] = [open_engine("bnnkit", model)]
    engines += [LceOnFile(path, kernel) for kernel in KERNELS]
    check(engines[0].run(images), LceOnFile(path, "reference").run(images))
    first, *others = interleave([(engine, 1) for engine in engines], images, seconds)
    found = {first.engine: float(np.median(first.wall_us))}
    found |= {other.engine: float(np.median(other.wall_us)) for other in others}
    ratios = {other.engine: asdict(ratio(other, first)) for other in others}
    return {"file": path.name, "median_us": found, "ratios": ratios}


def check(found: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    """Stop where the results differ."""
    for one, other in zip(found, expected, strict=True):
        difference = float(np.abs(one.astype(float) - other.astype(float)).max())
        assert difference <= TOLERANCE, difference


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.tflite")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each kernel and file")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args()
    results = [measure(path, options.seconds) for path in options.files]
    for result in results:
        print(result["file"], *(f"{k}: {v / 1000:.2f} ms" for k, v in result["median_us"].items()))
        for name, found in result["ratios"].items():
            print(f"  {name}: {found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})")
    if options.out is not None:
        context = describe_machine()
        del context["host_name"], context["executable"]  # whose machine it is does not matter
        write_text(
            options.out, json.dumps({"context": context, "files": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
