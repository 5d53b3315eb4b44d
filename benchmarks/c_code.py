"""Measure exported C: `python benchmarks/c_code.py MODEL.onnx zoo:NAME ... [--inputs N]`.

For each model: the bits of N random inputs against the runtime; the bytes of the compiled network
and those of its constants with one bit per binary weight; and the time of one image on one thread,
and how many times as fast as the runtime that is, measured in turns in one process.
"""

import argparse
import ctypes
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.report import report
from bnnkit.runtime import Model, open_artifact
from bnnkit.runtime.c_code import CReport, export_c

Array = NDArray[Any]
FLAGS = ("-std=c99", "-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC")
ROUNDS, ROUND_SECONDS = 30, 0.03
SAMPLES = 10
CHUNK = 100
COLUMNS = (
    "model",
    "inputs with other bits",
    "ideal bytes",
    "compiled",
    "workspace",
    "of an ensemble",
    "one pass, ms (times the runtime's speed)",
    f"{SAMPLES} samples",
)


class CLibrary:
    """A network in C, compiled for this computer."""

    def __init__(self, artifact: Artifact, folder: Path, compiler: str) -> None:
        self.report: CReport = export_c(artifact, folder)
        library = folder / "network.so"
        subprocess.run([compiler, *FLAGS, "-o", library, folder / "bnn.c"], check=True)
        self._library = ctypes.CDLL(str(library))
        self._workspace = np.zeros(self.report.workspace_bytes // 8 + 1, np.uint64)

    def run(self, image: Array, scores: Array) -> None:
        """Compute one pass."""
        self._library.bnn_run(_address(image), _address(scores))

    def predict(self, image: Array, means: Array, samples: int, number: int = 0) -> None:
        """Compute an ensemble with seed 1."""
        counts = ctypes.c_uint32(samples), ctypes.c_uint64(1), ctypes.c_uint32(number)
        parts = (_address(part) for part in (self._workspace, image, means))
        self._library.bnn_predict_in(*parts, *counts)


def _address(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def unequal(model: Model, library: CLibrary, n_inputs: int) -> int:
    """Count random inputs whose pass, or ensemble of two samples, has other bits in C."""
    found = 0
    for images in random_images(model, n_inputs):
        passes, samples = np.asarray(model.run(images)), 2 if model.is_stochastic else 0
        means = np.asarray(model.predict(images, samples=samples, seed=1))
        for number, image in enumerate(images):
            run, predicted = np.zeros_like(passes[0]), np.zeros_like(means[0])
            library.run(image, run)
            library.predict(image, predicted, samples, number)
            same = run.tobytes() == passes[number].tobytes()
            found += not (same and predicted.tobytes() == means[number].tobytes())
    return found


def random_images(model: Model, count: int) -> Iterator[Array]:
    """Yield random inputs in chunks."""
    rng = np.random.default_rng(0)
    for start in range(0, count, CHUNK):
        shape = (min(CHUNK, count - start), *model.input_shape)
        if model.input_dtype == np.uint8:
            yield rng.integers(0, 256, shape, np.uint8)
        else:
            yield rng.standard_normal(shape, np.float32)


def times(calls: list[Callable[[], object]]) -> list[list[float]]:
    """Time each call in turns; the seconds of a call in each round."""
    found: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(ROUNDS):
        for call, seconds in zip(calls, found, strict=True):
            start, count = time.perf_counter(), 0
            while time.perf_counter() - start < ROUND_SECONDS:
                call()
                count += 1
            seconds.append((time.perf_counter() - start) / count)
    return found


def measure(name: str, n_inputs: int, compiler: str) -> int:
    """Print a row for a model; return how many inputs had other bits."""
    artifact = open_artifact(name)
    model = Model(artifact)
    with tempfile.TemporaryDirectory() as folder:
        library = CLibrary(artifact, Path(folder), compiler)
        text = [compiler, *FLAGS[:-2], "-Os", "-c", f"{folder}/bnn.c", "-o", f"{folder}/bnn.o"]
        subprocess.run(text, check=True)
        sizes = subprocess.run(["size", f"{folder}/bnn.o"], capture_output=True, text=True)
        compiled = sum(map(int, sizes.stdout.splitlines()[1].split()[:3]))
    differing = unequal(model, library, n_inputs)
    (image,) = next(random_images(model, 1))
    scores = np.zeros_like(np.asarray(model.run(image[None]))[0])
    means = np.zeros(scores.shape, np.float32)
    calls: list[Callable[[], object]] = [
        lambda: library.run(image, scores),
        lambda: model.run(image[None]),
    ]
    if model.is_stochastic:
        calls += [
            lambda: library.predict(image, means, SAMPLES),
            lambda: model.predict(image[None], samples=SAMPLES, seed=1),
        ]
    found = times(calls)
    ideal = report(artifact, 0).ideal_bytes
    cells = [Path(name).name, f"{differing} of {n_inputs}", f"{ideal:,}", f"{compiled:,}"]
    cells += [f"{library.report.pass_bytes:,}", f"{library.report.workspace_bytes:,}"]
    for c, runtime in zip(found[::2], found[1::2], strict=True):
        ratio = statistics.median(b / a for a, b in zip(c, runtime, strict=True))
        cells.append(f"{min(c) * 1e3:.3f} ({ratio:.2f})")
    print("| " + " | ".join(cells) + " |", flush=True)
    return differing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--inputs", type=int, default=100, metavar="N")
    parser.add_argument("--compiler", default="gcc")
    arguments = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + " --- |" * len(COLUMNS), flush=True)
    found = [measure(name, arguments.inputs, arguments.compiler) for name in arguments.models]
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
