"""Runs the scripts of examples/ in a process, as a user does."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(folder: Path, script: str, *words: object, python: str = sys.executable) -> str:
    """Run a script in a folder; return what it prints.

    Args:
        folder: The working directory.
        script: The path of the script in examples/.
        words: Its arguments.
        python: The interpreter; another one than that of the tests does not get `PYTHONPATH`.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, EXAMPLES / script, *map(str, words)],
        cwd=folder,
        env=environment if python != sys.executable else None,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
