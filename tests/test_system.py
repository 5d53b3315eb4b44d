"""A system that is not supported: the first thing that one sees is a line that says what to do."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("statement", ["import bnnkit", "from bnnkit.cli import main; main()"])
def test_a_32_bit_python_is_refused_in_one_line(statement: str) -> None:
    code = f"import sys; sys.maxsize = 2**31 - 1; {statement}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith("bnnkit: bnnkit needs 64-bit Python, this ")
    assert "install a 64-bit system" in run.stderr


def test_other_errors_keep_their_traceback() -> None:
    code = """
import sys
sys.maxsize = 2**31 - 1
try:
    import bnnkit
except ImportError:
    raise ValueError("mine")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.startswith("Traceback")
    assert run.stderr.endswith("ValueError: mine\n")
