"""Memory that loading a network took and freed goes back to the system."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from artifacts import ArtifactBuilder

from bnnkit.runtime.memory.free_memory import give_back_free_memory

needs_glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library gives memory back itself"
)
ADDED = """
import gc, os, sys
import numpy as np
from bnnkit.runtime import load

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def run(path):
    model = load(path)
    model.run(np.zeros((1, *model.input_shape), np.float32))
    return model

small = run(sys.argv[1])
before = resident()
large = run(sys.argv[2])
print(resident() - before)
"""


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@needs_glibc
def test_freed_blocks_go_back() -> None:
    # What is kept lies between the blocks, so that the heap cannot shrink.
    pairs = [(bytearray(b"x" * 60_000), bytearray(b"y" * 1000)) for _ in range(1000)]
    kept = [small for _, small in pairs]
    del pairs
    before = resident()
    give_back_free_memory()
    assert before - resident() > 40_000_000
    assert kept


def dense_network(width: int, folder: Path) -> str:
    a = ArtifactBuilder(width)
    signs = a.sign("x")
    for _ in range(3):
        signs = a.threshold(a.binary_linear(signs, width, width), [0] * width)
    path = folder / f"{width}.onnx"
    path.write_bytes(a.artifact((width,), signs, sizes={signs: (width,)}).to_bytes())
    return str(path)


@needs_glibc
@pytest.mark.slow
def test_a_network_adds_little_more_than_its_weights(tmp_path: Path) -> None:
    """The weights and the content of the file stay: 3 MB of packed weights, twice."""
    paths = dense_network(64, tmp_path), dense_network(2816, tmp_path)
    command = [sys.executable, "-c", ADDED, *paths]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    packed = 3 * 2816**2 // 8
    assert packed < int(run.stdout) < 3.5 * packed
