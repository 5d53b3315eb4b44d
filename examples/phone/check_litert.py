"""Run a .tflite file in LiteRT's interpreter and compare it with bnnkit's scores.

python -m venv litert && litert/bin/pip install ai-edge-litert
litert/bin/python examples/phone/check_litert.py assets

Needs nothing of bnnkit: LiteRT wants NumPy 2, and a phone has no Python.
"""

import sys
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found]


def main() -> None:
    folder = Path(sys.argv[1])
    check = np.load(folder / "check.npz")
    network = Interpreter(model_path=str(folder / "builtin.tflite"), num_threads=1)
    network.allocate_tensors()
    (before,), (after,) = network.get_input_details(), network.get_output_details()
    print(f"input {before['dtype'].__name__} {before['shape'].tolist()}")
    print(f"output {after['dtype'].__name__} {after['shape'].tolist()}")
    scores, times = [], []
    for image in check["images"]:
        network.set_tensor(before["index"], image[None])
        started = time.perf_counter()
        network.invoke()
        times.append(time.perf_counter() - started)
        scores.append(network.get_tensor(after["index"])[0])
    # The last layer is of floats, which engines add up in different orders; the signs are equal.
    difference = np.abs(scores - check["scores"]).max()
    same = (np.argmax(scores, 1) == check["scores"].argmax(1)).sum()
    print(f"the same class for {same} of {len(scores)} images; scores differ by {difference:.1e}")
    print(f"one image: median {1000 * np.median(times):.3f} ms")
    sys.exit(int(same < len(scores)))


if __name__ == "__main__":
    main()
