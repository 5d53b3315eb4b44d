"""Standard output that is closed, full, or no longer read."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "MODEL"],
        ["--help"],
        pytest.param(["eval", "MODEL", "--data", "digits"], marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_error(
    arguments: list[str], unbuffered: str, digits_model: Path
) -> None:
    command = [sys.executable, "-m", "bnnkit", *arguments]
    command = [str(digits_model) if part == "MODEL" else part for part in command]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), (">&- 2>&-", 0), ("<&- >&-", 0)])
@pytest.mark.slow
def test_closed_streams_are_no_error(closed: str, code: int, digits_model: Path) -> None:
    line = f"{shlex.quote(sys.executable)} -m bnnkit info {shlex.quote(str(digits_model))}"
    done = subprocess.run(["sh", "-c", f"{line} {closed}"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [["info", "MODEL"], ["--help"]])
def test_standard_output_that_is_full(arguments: list[str], digits_model: Path) -> None:
    command = [sys.executable, "-m", "bnnkit", *arguments]
    command = [str(digits_model) if part == "MODEL" else part for part in command]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    place = "bnnkit info" if "info" in arguments else "bnnkit"
    said = "cannot write standard output: No space left on device"
    assert done.stderr == f"{place}: {said}\n"
