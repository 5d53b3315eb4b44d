"""`bnnkit export` in a process of its own, stopped by a signal at a known point."""

import subprocess
import sys
from pathlib import Path

EXPORTING, HALF_WRITTEN = "torch's exporter", "half a file written"

# Says when it is there, and waits for the signal.
_DRIVER = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
import torch.onnx
from bnnkit.cli import main

def wait(*arguments, **options):
    os.write(1, b"ready\\n")
    time.sleep(60)
    os._exit(99)  # no signal came

def write_half(self, content):
    with self.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        wait()

if sys.argv.pop(1) == "half a file written":
    Path.write_bytes = write_half
else:
    torch.onnx.export = wait
main()
"""


def stopped_export(run: Path, out: Path, *, point: str, signal: int) -> tuple[int, str, list[str]]:
    """Send a signal to an export that has come to `EXPORTING` or `HALF_WRITTEN`.

    Returns:
        The exit code, what was written to standard error, and the files that lay beside `out`
        before the signal.
    """
    command = [sys.executable, "-c", _DRIVER, point, "export", str(run), "-o", str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        before = sorted(path.name for path in out.parent.iterdir())
        process.send_signal(signal)
        _, errors = process.communicate(timeout=60)
    assert said == "ready\n", errors
    return process.returncode, errors, before
