import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from artifacts import digits_like
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.bench.benchmark import random_images
from bnnkit.bench.step_times import step_times
from bnnkit.runtime.kernels import ceiling
from bnnkit.runtime.kernels.cpu import BinaryForm, binary_form

OTHER_CPUS = {
    "avx2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""},
    "avx512": {"NUMBA_CPU_NAME": "skylake-avx512", "NUMBA_CPU_FEATURES": ""},
}
COUNT = "import test_ceiling; test_ceiling.test_counts_are_right()"


def _popcounts(values: NDArray[np.uint8], rounds: int) -> NDArray[np.uint8]:
    words = values.view(np.uint64)
    y, keys = words[: -ceiling.KEYS].copy(), words[-ceiling.KEYS :]
    total = np.zeros_like(y)
    for _ in range(rounds):
        for key in keys:
            y ^= key
            total += np.array([[w.bit_count() for w in row] for row in y.tolist()], np.uint64)
    return total.view(np.uint8)


def _byte_popcounts(values: NDArray[np.uint8], rounds: int) -> NDArray[np.uint8]:
    y, keys = values[: -ceiling.KEYS].copy(), values[-ceiling.KEYS :]
    total = np.zeros_like(y)
    for _ in range(rounds):
        for key in keys:
            y ^= key
            total += np.unpackbits(y[..., None], axis=-1).sum(axis=-1, dtype=np.uint8)
    return total


def _lookups(values: NDArray[np.uint8], rounds: int) -> NDArray[np.uint8]:
    y, keys = values[: -ceiling.KEYS].copy(), values[-ceiling.KEYS :]
    lane = np.arange(values.shape[1]) // 16 * 16  # a shuffle stays within 16 bytes
    for _ in range(rounds):
        for key in keys:
            y += np.where(y < 128, key[lane + (y & 15)], 0).astype(np.uint8)
    return y


COUNTS: dict[BinaryForm, Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]] = {
    "popcount": _popcounts,
    "lookup": _lookups,
    "panel": _byte_popcounts,
}


def test_counts_are_right() -> None:
    forms: set[BinaryForm] = {binary_form(), "panel"}
    for form in forms:
        shape = (ceiling.CHAINS[form] + ceiling.KEYS, ceiling.VECTOR[form])
        values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        expected = COUNTS[form](values, 70)  # sums of bytes overflow
        np.testing.assert_array_equal(ceiling.count(form, values, 70), expected)


@pytest.mark.slow
@pytest.mark.parametrize("cpu", list(OTHER_CPUS))
def test_counts_are_right_on_other_cpus(cpu: str) -> None:
    flags = _cpu_flags()
    if {"avx2": "avx2", "avx512": "avx512bw"}[cpu] not in flags:
        pytest.skip(f"this CPU has no {cpu}")
    folder = os.path.dirname(__file__)
    environment = {**os.environ, **OTHER_CPUS[cpu], "PYTHONPATH": folder}
    subprocess.run([sys.executable, "-c", COUNT], env=environment, check=True)


def _cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo") as file:
            return set(file.read().split())
    except OSError:
        return set()


def test_twice_the_rounds_take_about_twice_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler has left nothing out: the speed does not depend on the rounds."""
    limit = ceiling.Ceiling()
    monkeypatch.setattr(ceiling, "ROUNDS", 20_000)
    few = max(limit.sample() for _ in range(50))
    monkeypatch.setattr(ceiling, "ROUNDS", 40_000)
    many = max(limit.sample() for _ in range(50))
    assert 0.6 < few / many < 1.6


def test_profile_compares_binary_layers_with_the_ceiling() -> None:
    network: Artifact = digits_like()[0]
    steps = step_times(network, random_images(network, 2), runs=5)
    layers = {step.name: step for step in steps if step.gmacs is not None}
    assert layers.keys() == {"BinaryConv2dThreshold3", "BinaryConv2dThreshold5", "BinaryLinear7"}
    macs = 2 * 33 * 65 * 9 * 64  # images, channels, taps, pixels
    found = layers["BinaryConv2dThreshold3"]
    assert found.gmacs == pytest.approx(macs / found.median_us / 1e3)
    assert all(0 < step.of_ceiling < 2 for step in layers.values() if step.of_ceiling is not None)
    assert json.loads(json.dumps([vars(step) for step in steps]))
