"""On the board: are the outputs those of the computer that prepared this folder, and how fast?

venv/bin/python check_board.py

Needs the packages of `pip install bnnkit` only. Exits with 1 if a bit differs.
"""

import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

import bnnkit.runtime as rt

SAMPLES = 10


def main() -> None:
    folder = Path(__file__).parent
    (path,) = folder.glob("model.*")
    inputs, expected = np.load(folder / "inputs.npy"), np.load(folder / "expected.npz")
    started = time.perf_counter()
    model = rt.load(path)
    model.run(inputs[:1])  # compiles what `bnnkit warmup` has not
    print(f"{platform.machine()}, {os.cpu_count()} CPUs")
    print(f"the file was loaded and run once in {time.perf_counter() - started:.2f} s")

    outputs = model.run(inputs, threads=os.cpu_count() or 1)
    found = dict(enumerate(outputs if isinstance(outputs, tuple) else (outputs,)))
    results = {f"run.{index}": array for index, array in found.items()}
    if "predict" in expected:
        results["predict"] = model.predict(inputs, samples=SAMPLES, seed=0)
    n_wrong = 0
    for name, array in results.items():
        is_same = np.array_equal(array, expected[name])
        n_wrong += not is_same
        print(f"{name}: {'the same bits' if is_same else 'DIFFERS'}, {len(inputs)} inputs")

    times = []
    for _ in range(50):
        started = time.perf_counter()
        model.run(inputs[:1])
        times.append(time.perf_counter() - started)
    print(f"one input on one thread: median {1000 * np.median(times):.3f} ms of {len(times)} runs")
    sys.exit(int(n_wrong > 0))


if __name__ == "__main__":
    main()
