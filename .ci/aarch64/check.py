"""What on_cpu runs in the emulated Python: `bnnkit run` on the other computer's files, and tests.

    check.py FILE...    (test files)

All in one process: starting Python and importing bnnkit takes seconds in the emulation.
"""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from bnnkit.cli.group import bnnkit_command

RESULTS = {
    "scores.npy": [],
    "samples.npy": ["--samples", "10", "--seed", "1", "--threads", "2"],
}
"""What `bnnkit run` wrote on the other computer, and the options that it had."""


def compare(folder: Path) -> bool:
    """Return whether the files have the same bytes as those in the folder."""
    are_equal = True
    with tempfile.TemporaryDirectory() as here:
        for name, options in RESULTS.items():
            inputs = [str(folder / "digits.onnx"), str(folder / "images.npy")]
            try:
                bnnkit_command.main(["run", *inputs, "-o", f"{here}/{name}", *options], "bnnkit")
            except SystemExit as done:
                if done.code != 0:
                    return False
            is_equal = (Path(here) / name).read_bytes() == (folder / name).read_bytes()
            print(f"{name} is {'' if is_equal else 'NOT '}that of the other computer", flush=True)
            are_equal &= is_equal
    return are_equal


def main(files: list[str]) -> int:
    """Run everything; return the exit code."""
    folder = os.environ.get("AARCH64_COMPARE")
    if folder is not None and not compare(Path(folder)):
        return 1
    return int(pytest.main(["-q", "-p", "no:cacheprovider", "--durations", "5", *files]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
