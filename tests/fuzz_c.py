"""Random networks through the exported C against the runtime, for as long as is asked.

python tests/fuzz_c.py SECONDS [SEED] [FLAG ...]

The flags are those of gcc. Prints how many networks were equal and how many the exporter refused,
or the seed of the first that was not equal, and exits with 1.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import onnx
from c_networks import CNetwork, check_bits
from fuzz import random_network, random_noisy_network

from bnnkit.artifact.artifact import Artifact
from bnnkit.errors import UnsupportedError


def of_values(artifact: Artifact) -> Artifact:
    """The network, whose outputs are said to be real values: maps are no class scores."""
    model = onnx.ModelProto()
    model.CopyFrom(artifact.model)
    kinds = json.dumps(["values"] * len(model.graph.output))
    model.metadata_props.add(key="bnnkit.outputs", value=kinds)
    return Artifact(model)


def check_seed(seed: int, *flags: str) -> int:
    """Check a network without noise and one with; return how many the exporter took."""
    checked = 0
    for make, samples in ((random_network, [0]), (random_noisy_network, [0, 1, 3])):
        found, images = make(seed)
        artifact = of_values(found)
        with tempfile.TemporaryDirectory() as folder:
            try:
                network = CNetwork(artifact, Path(folder), *flags)
            except UnsupportedError as error:
                if "Sqrt" in str(error) or "MaxPool" in str(error):  # no kernel has these forms
                    continue
                raise
            check_bits(artifact, network, images, samples)
            checked += 1
    return checked


def main() -> int:
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**9
    flags = sys.argv[3:] or ["-O1", "-march=native"]
    first, end, checked = seed, time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            checked += check_seed(seed, *flags)
        except AssertionError as error:
            print(f"the network of seed {seed} differs: {error}")
            return 1
        seed += 1
    print(f"{checked} of {2 * (seed - first)} random networks equal, seeds from {first}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
