"""Targets of the exported C: compilers, flags, and how their programs run on this computer."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from c_networks import STRICT, compile_c

BOARD = Path(__file__).parent / "data" / "mps2"
"""Start-up code and memory map of the boards that QEMU emulates."""
_SEMIHOSTING = ("-semihosting-config", "enable=on,target=native")
_THUMB = ("-mthumb", "--specs=rdimon.specs", "-T", str(BOARD / "mps2.ld"), "-O2")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A compiler and a CPU.

    Attributes:
        name: What it is called in the tests.
        compiler: The command.
        flags: Its flags besides STRICT.
        emulator: The command before the program; none for this computer's own CPU.
    """

    name: str
    compiler: str
    flags: tuple[str, ...]
    emulator: tuple[str, ...] = ()

    @cached_property
    def missing(self) -> list[str]:
        """What is not installed: commands, or the C library of the target."""
        commands = (self.compiler, *self.emulator[:1])
        missing = [command for command in commands if shutil.which(command) is None]
        return missing or ([] if self._has_library() else [f"the C library of {self.compiler}"])

    def _has_library(self) -> bool:
        command = [self.compiler, *self.flags, "-x", "c", "-fsyntax-only", "-"]
        return not subprocess.run(
            command, input=b"#include <stdio.h>", capture_output=True
        ).returncode

    @property
    def is_board(self) -> bool:
        """Whether the program runs without an operating system."""
        return self.emulator[:1] == ("qemu-system-arm",)

    def run(self, folder: Path, name: str) -> str:
        """Compile the test of an exported folder, run it, and return what it prints."""
        program = folder / f"test_{self.name}"
        sources = [folder / f"{name}.c", folder / f"{name}_test.c"]
        extra = [BOARD / "startup.c"] if self.is_board else []
        compile_c([self.compiler, *STRICT, *self.flags, *extra, *sources, "-o", program])
        done = subprocess.run(
            [*self.emulator, str(program)], capture_output=True, text=True, timeout=600
        )
        return done.stdout + done.stderr


def _board(machine: str, cpu: str, *flags: str) -> Target:
    board = ("qemu-system-arm", "-M", machine, "-cpu", cpu, "-nographic", "-monitor", "none")
    return Target(
        name=cpu,
        compiler="arm-none-eabi-gcc",
        flags=(*_THUMB, f"-mcpu={cpu}", *flags),
        emulator=(*board, "-serial", "none", *_SEMIHOSTING, "-kernel"),
    )


_A64 = "aarch64-linux-gnu-gcc"
_A32 = "arm-linux-gnueabihf-gcc"
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TRAPS = ("-fsanitize=undefined", "-fsanitize-trap=undefined")
"""Clang checks more than gcc, such as offsets of null pointers; this needs no library of it."""
TARGETS = (
    Target(name="gcc", compiler="gcc", flags=("-O2",)),
    Target(name="clang", compiler="clang", flags=("-O2",)),
    Target(name="clang-traps", compiler="clang", flags=("-O1", *TRAPS)),
    Target(name="gcc-native", compiler="gcc", flags=("-O3", "-march=native")),
    Target(name="gcc-avx2", compiler="gcc", flags=("-O2", "-mavx2", "-mfma")),
    Target(name="gcc-ssse3", compiler="gcc", flags=("-O2", "-mssse3")),
    Target(name="sanitizers", compiler="gcc", flags=SANITIZERS),
    Target(name="sanitizers-native", compiler="gcc", flags=(*SANITIZERS, "-march=native")),
    *(
        Target(
            name=cpu,
            compiler=_A64,
            flags=("-O2", "-static", f"-mcpu={cpu}"),
            emulator=("qemu-aarch64", "-cpu", cpu),
        )
        for cpu in ("cortex-a53", "cortex-a72", "cortex-a76")
    ),
    Target(
        name="clang-aarch64",
        compiler="clang",
        flags=("-O2", "-static", "--target=aarch64-linux-gnu", "-mcpu=cortex-a76"),
        emulator=("qemu-aarch64", "-cpu", "cortex-a76"),
    ),
    Target(
        name="gcc-default-dialect",
        compiler=_A64,
        flags=("-O3", "-static", "-std=gnu17", "-ffp-contract=fast"),
        emulator=("qemu-aarch64", "-cpu", "cortex-a53"),
    ),
    Target(
        name="armv7-neon",
        compiler=_A32,
        flags=("-O2", "-static", "-mcpu=cortex-a7", "-mfpu=neon-vfpv4"),
        emulator=("qemu-arm", "-cpu", "cortex-a7"),
    ),
    Target(
        name="armv7-vfp",
        compiler=_A32,
        flags=("-O2", "-static", "-march=armv7-a", "-mfpu=vfpv3-d16"),
        emulator=("qemu-arm", "-cpu", "cortex-a7"),
    ),
    _board("mps2-an385", "cortex-m3", "-mfloat-abi=soft"),
    _board("mps2-an386", "cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    _board("mps2-an500", "cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
)
