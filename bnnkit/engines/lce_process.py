"""Larq Compute Engine's interpreter in a child process of another Python.

LCE's extension module works only with NumPy below 2. `BNNKIT_LCE_PYTHON` names a Python whose
environment has larq-compute-engine and such a NumPy; the interpreter runs in a process of that
Python. Inputs and outputs go through pipes. This takes about 0.1 ms per run, which a benchmark
counts as time of the engine.
"""

import os
import select
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.engines import lce_child
from bnnkit.errors import UnsupportedError, UsageError

Array = NDArray[Any]
VARIABLE: Final = "BNNKIT_LCE_PYTHON"
"""The environment variable that names the Python."""
START_TIMEOUT_S = 60.0
"""The time in which the process must have opened the file."""


class ProcessInterpreter:
    """An interpreter in a child process that ends when this object is deleted.

    Args:
        content: The bytes of the .tflite file.
        options: Positional arguments of LCE's `LiteInterpreter` after the content.

    Attributes:
        version: The version of larq-compute-engine.

    Raises:
        UsageError: If the environment variable is unset, or names no Python that can be started.
        UnsupportedError: If the process does not answer, or LCE refuses the file.
    """

    def __init__(self, content: bytes, options: Sequence[Any]) -> None:
        self._has_answered = False
        python = os.environ.get(VARIABLE)
        if not python:
            raise UsageError(
                f"the engine lce works with NumPy below 2 only, this is {np.__version__}: set"
                f" {VARIABLE} to a Python that has larq-compute-engine and numpy<2"
            )
        try:
            self._process = subprocess.Popen(
                [python, "-E", str(Path(lce_child.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError as error:
            raise UsageError(f"{VARIABLE}={python} cannot be started: {error.strerror}") from error
        head, _ = self._ask({"options": list(options)}, [], content)
        self.version = str(head["version"])

    def predict(self, inputs: Sequence[Array]) -> list[Array]:
        """Compute all outputs."""
        return self._ask({}, list(inputs), b"")[1]

    def _ask(
        self, head: dict[str, Any], arrays: list[Array], content: bytes
    ) -> tuple[dict[str, Any], list[Array]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            lce_child.send(self._process.stdin, head, arrays, content)
            self._await_first(self._process.stdout)
            answer = lce_child.receive(self._process.stdout)
        except (OSError, ValueError, KeyError, TypeError, EOFError):  # ended, or not our protocol
            answer = None
        if answer is None or not ({"version", "error"} & answer[0].keys() or self._has_answered):
            self._process.kill()
            raise UnsupportedError(
                f"the process of LCE's interpreter gave no answer; expected {VARIABLE} to name a"
                " Python that has larq-compute-engine and numpy<2"
            )
        self._has_answered = True
        if "error" in answer[0]:
            raise UnsupportedError(f"LCE cannot run the model: {answer[0]['error']}")
        return answer[0], answer[1]

    def _await_first(self, stream: IO[bytes]) -> None:
        """Wait for the first answer only: opening a file is quick, a run may take any time.

        Raises:
            TimeoutError: If the process does not answer in time.
        """
        if not self._has_answered and not select.select([stream], [], [], START_TIMEOUT_S)[0]:
            raise TimeoutError

    def __del__(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            for stream in (process.stdin, process.stdout):
                with suppress(OSError):  # buffered data has no reader any more
                    stream.close()
            process.kill()
            process.wait()
