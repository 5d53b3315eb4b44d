"""The memory that a network adds to a process, and the time until the first result."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_MEMORY = """
import gc, os, sys
import numpy as np
from bnnkit.runtime import load

def resident():
    gc.collect()
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

def run(model):
    images = np.zeros((1, *model.input_shape), model.input_dtype)
    for _ in range(20):
        model.run(images)

run(load(sys.argv[1]))  # a small network with the same kinds of layers loads the kernels
before = resident()
model = load(sys.argv[2])
run(model)
print(resident() - before)
"""

_FIRST_RESULT = """
import sys
import numpy as np
from bnnkit.runtime import load

model = load(sys.argv[1])
model.run(np.zeros((1, *model.input_shape), model.input_dtype))
"""


def added_megabytes(small: Path, network: Path) -> float:
    """Measure the resident memory of a network and its runs, without kernels, in 10^6 bytes.

    Args:
        small: A network with the same kinds of layers and few channels.
        network: The network to measure.
    """
    sizes = [int(_python(_MEMORY, str(small), str(network))) for _ in range(5)]
    return float(np.median(sizes)) / 1e6


def startup_seconds(network: Path, repetitions: int = 5) -> dict[str, float]:
    """Measure the wall seconds of a new process, with compiled kernels on disk and without."""
    with tempfile.TemporaryDirectory() as folder:
        cached, empty = [], []
        for repetition in range(repetitions):
            empty.append(_seconds(network, Path(folder) / str(repetition)))
            cached.append(_seconds(network, Path(folder) / str(repetition)))
    return {"without_cache": float(np.median(empty)), "with_cache": float(np.median(cached))}


def _seconds(network: Path, cache: Path) -> float:
    start = time.perf_counter()
    _python(_FIRST_RESULT, str(network), cache=cache)
    return time.perf_counter() - start


def _python(code: str, *arguments: str, cache: Path | None = None) -> str:
    environment = dict(os.environ)
    if cache is not None:
        environment["BNNKIT_CACHE_DIR"] = str(cache)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return done.stdout
