"""The kernels of other CPUs, in processes that see fewer features, give the same bits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import binding

TESTS = Path(__file__).parent
FAMILIES = {
    # LLVM's name, and a feature that the machine must have to run its code
    "icelake-server": "avx512vpopcntdq",
    "skylake-avx512": "avx512bw",
    "haswell": "avx2",
    "sandybridge": "avx",
    "x86-64": "sse2",
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_kernels_of_a_cpu_family(family: str) -> None:
    features = binding.get_host_cpu_features()
    if not features.get(FAMILIES[family]):
        pytest.skip(f"this CPU cannot run code for {family}: it has no {FAMILIES[family]}")
    environment = os.environ | {"NUMBA_CPU_NAME": family, "NUMBA_CPU_FEATURES": ""}
    chosen = ["test_convolution.py", "test_nan.py", "test_operators.py"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", *chosen],
        cwd=TESTS,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:]
    assert "passed" in run.stdout


@pytest.mark.slow
def test_families_use_different_kernels() -> None:
    """The override is obeyed: the same CPU takes popcount or lookups, in 64 or 32 channels."""
    code = "from bnnkit.runtime.kernels import cpu; print(cpu.binary_form(), cpu.has_512_bits())"
    seen = {}
    for family in FAMILIES:
        environment = os.environ | {"NUMBA_CPU_NAME": family, "NUMBA_CPU_FEATURES": ""}
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        seen[family] = run.stdout.split()
    assert seen == {
        "icelake-server": ["popcount", "True"],
        "skylake-avx512": ["lookup", "True"],
        "haswell": ["lookup", "False"],
        "sandybridge": ["popcount", "False"],
        "x86-64": ["popcount", "False"],
    }
