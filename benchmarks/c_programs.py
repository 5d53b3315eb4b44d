"""Exported C as programs: a library of this computer, a checked program, and a microcontroller."""

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.runtime.c_code import CReport, export_c

HERE = Path(__file__).parent
BOARD = HERE.parent / "tests" / "data" / "mps2"
Array = NDArray[Any]
STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-ffp-contract=off")
FAST = ("-O3", "-march=native")
SANITIZED = ("-O1", "-g", "-march=native", "-fsanitize=address,undefined")
CORTEX_M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-Os")
QEMU = (
    *("qemu-system-arm", "-M", "mps2-an386", "-cpu", "cortex-m4", "-nographic"),
    *("-monitor", "none", "-serial", "none"),
    *("-semihosting-config", "enable=on,target=native", "-kernel"),
)


class CLibrary:
    """A network in C, compiled for this computer.

    Attributes:
        folder: The exported folder.
        report: What the exporter reported.
    """

    def __init__(self, artifact: Artifact, folder: Path, compiler: str) -> None:
        self.folder, self._compiler = folder, compiler
        self.report: CReport = export_c(artifact, folder)
        library = folder / "network.so"
        self._compile(*FAST, "-shared", "-fPIC", folder / "bnn.c", "-o", library)
        self._library = ctypes.CDLL(str(library))
        self._workspace = np.zeros(self.report.workspace_bytes // 8 + 1, np.uint64)

    def run(self, image: Array, scores: Array) -> None:
        """Compute one pass."""
        self._library.bnn_run(_address(image), _address(scores))

    def predict(self, image: Array, means: Array, samples: int, number: int = 0) -> None:
        """Compute an ensemble with seed 1."""
        counts = ctypes.c_uint32(samples), ctypes.c_uint64(1), ctypes.c_uint32(number)
        parts = (_address(part) for part in (self._workspace, image, means))
        self._library.bnn_predict_in(*parts, *counts)

    def sanitized(self, inputs: Array, samples: int) -> bytes:
        """Return the outputs of inputs under AddressSanitizer and UndefinedBehaviorSanitizer.

        Args:
            inputs: (N, ...).
            samples: Number of samples of `predict`, with seed 1 and the numbers 0 to N - 1.

        Returns:
            For each input the scores and the probabilities, float32.

        Raises:
            subprocess.CalledProcessError: If a sanitizer found an error.
        """
        program = self.folder / "sanitized"
        if not program.exists():
            kind = "uint8_t" if inputs.dtype == np.uint8 else "float"
            source = HERE / "c_inputs.c"
            options = [*SANITIZED, "-fno-sanitize-recover=all", f"-DINPUT={kind}"]
            self._compile(
                *options, f"-I{self.folder}", source, self.folder / "bnn.c", "-o", program
            )
        command = [str(program), str(samples)]
        return subprocess.run(
            command, input=inputs.tobytes(), capture_output=True, check=True
        ).stdout

    def compiled_bytes(self) -> int:
        """Return the bytes of the network's code and constants for this CPU's family, at -Os."""
        network = self.folder / "bnn.o"
        self._compile("-march=native", "-Os", "-c", self.folder / "bnn.c", "-o", network)
        return object_bytes("size", network)

    def _compile(self, *options: object) -> None:
        subprocess.run([str(o) for o in (self._compiler, *STRICT, *options)], check=True)


def object_bytes(command: str, path: Path) -> int:
    """Return the bytes of code and data in an object file."""
    sizes = subprocess.run([command, path], capture_output=True, text=True, check=True).stdout
    return sum(map(int, sizes.splitlines()[1].split()[:3]))


def on_cortex_m4(library: CLibrary, samples: int) -> dict[str, int]:
    """Measure a network on an emulated Cortex-M4, compiled with -Os.

    Returns:
        Bytes of flash, and of stack that a call of `bnn_predict` uses, the workspace included.
    """
    folder = library.folder
    flags = ("arm-none-eabi-gcc", *STRICT, *CORTEX_M4, f"-I{folder}")
    _run(*flags, "-c", folder / "bnn.c", "-o", folder / "m4.o")
    linked = ("--specs=rdimon.specs", "-T", BOARD / "mps2.ld", BOARD / "startup.c")
    kind = "uint8_t" if "const uint8_t *" in (folder / "bnn.h").read_text() else "float"
    options = (f"-DINPUT={kind}", f"-DSAMPLES={samples}", HERE / "c_stack.c")
    _run(*flags, *linked, *options, folder / "m4.o", "-o", folder / "m4.elf")
    return {
        "flash_bytes": object_bytes("arm-none-eabi-size", folder / "m4.o"),
        "stack_bytes": int(_run(*QEMU, folder / "m4.elf")),
    }


def _run(*command: object) -> str:
    words: Sequence[str] = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def _address(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
