"""An interrupt at any time ends a command with code 130 and at most one line."""

import subprocess
import sys

import pytest

INTERRUPT = "os.kill(os.getpid(), signal.SIGINT)"
START = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.{handler})
"""
IN_AN_IMPORT = f"""
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{{module}}":
            {INTERRUPT}

sys.meta_path.insert(0, Finder())
"""
IN_THE_COMMAND = """
import bnnkit.cli.info

def read(path):
    {action}
    sys.exit("not interrupted")

bnnkit.cli.info.read = read
"""
END = """
from bnnkit.cli import main
main()
"""


def run(code: str, *, handler: str = "default_int_handler") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", START.format(handler=handler) + code + END, "info", "missing.onnx"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "module",
    ["click", *(pytest.param(f"bnnkit.cli.{name}", marks=SLOW) for name in ("group", "info"))],
)
def test_imports_are_interrupted_quietly(module: str) -> None:
    found = run(IN_AN_IMPORT.format(module=module))
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")


HIDDEN = f"""try: {INTERRUPT}
    except KeyboardInterrupt: raise ImportError("an extension module says something else")"""
UNRAISABLE = f"""
    class Callback:
        def __del__(self): {INTERRUPT}
    Callback()
    import time
    time.sleep(20)"""


@pytest.mark.parametrize(
    "action", [INTERRUPT, pytest.param(HIDDEN, marks=SLOW), pytest.param(UNRAISABLE, marks=SLOW)]
)
def test_a_command_is_interrupted_in_one_line(action: str) -> None:
    found = run(IN_THE_COMMAND.format(action=action))
    assert (found.returncode, found.stderr) == (130, "bnnkit info: interrupted\n")


@pytest.mark.slow
def test_a_command_in_the_background_ignores_interrupts() -> None:
    found = run(IN_AN_IMPORT.format(module="click"), handler="SIG_IGN")
    assert found.returncode == 2
    assert "cannot read missing.onnx" in found.stderr
