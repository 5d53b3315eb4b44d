"""Damaged .tflite files through the runtime: each ends in a result or in an error of bnnkit's.

    python tests/fuzz_tflite.py [COUNT [SEED]]

Works through the files in a process of its own, of which the operating system takes more than 1 GB
for one file away, and which it ends where a file hangs. Prints how many files ended in a result,
how many in an error, and the longest; where one takes more than 2 s of the CPU or 1 GB, crashes,
hangs or ends otherwise, the seed and the number of the file, with exit code 1.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lce_files import FILES
from tflite_damage import damaged
from tflite_hostile import BUILDERS, largest

import bnnkit.runtime as rt
from bnnkit.errors import BnnkitError

MOST_SECONDS = 2.0
"""Limit of CPU time, which does not depend on other work on the machine."""
MOST_BYTES = 10**9
HANGS = 60
"""Seconds after which reading a file counts as hanging."""
PAGE = resource.getpagesize()


def opened(path: Path) -> str:
    """Load and run a file; the error, if it ends in one of bnnkit's."""
    try:
        model = rt.load(path)
        model.run(np.zeros((1, *model.input_shape), model.input_dtype))
    except BnnkitError as error:
        return str(error)
    return ""


def limited(action: Callable[[], str]) -> tuple[str, float, str]:
    """The result of an action, its CPU seconds, and what is wrong with it.

    An action that hangs, or crashes, ends the process.
    """
    started, wrong, found = time.process_time(), "", ""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * PAGE + MOST_BYTES, limits[1]))
    signal.alarm(HANGS)
    try:
        found = action()
    except MemoryError:
        wrong = f"more than {MOST_BYTES / 1e6:.0f} MB"
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    seconds = time.process_time() - started
    if seconds > MOST_SECONDS and not wrong:
        wrong = f"{seconds:.1f} s"
    if "\n" in found:
        wrong = f"an error of several lines: {found}"
    return found, seconds, wrong


def tell(**facts: Any) -> None:
    """One line for the process that watches."""
    print(json.dumps(facts), flush=True)


def child(seed: int, start: int, stop: int) -> int:
    """Work through some files, telling each before it is opened."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "damaged.tflite"
        for good in FILES:  # compile the kernels
            assert not opened(good)
        for number in range(start, stop):
            source, content = damaged(seed, number)
            path.write_bytes(content)
            tell(seed=seed, number=number, source=source)
            error, seconds, wrong = limited(lambda: opened(path))
            if seconds > MOST_SECONDS:  # it may have compiled a kernel: that is done once
                error, seconds, wrong = limited(lambda: opened(path))
            tell(error=error, seconds=seconds)
            if wrong:
                tell(wrong=wrong)
                return 1
    return 0


def hostile(name: str) -> int:
    """Work through the small files that ask for much; all or one of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hostile.tflite"
        for build in BUILDERS:
            if name in ("", build.__name__):
                path.write_bytes(build(16))
                opened(path)  # compile the kernels
                content = largest(build)
                path.write_bytes(content)
                tell(number=len(content), source=build.__name__)
                error, seconds, wrong = limited(lambda: opened(path))
                if seconds > MOST_SECONDS:
                    error, seconds, wrong = limited(lambda: opened(path))
                tell(error=error, seconds=seconds)
                if wrong or error:
                    tell(wrong=wrong or error)
                    return 1
    return 0


def watch(command: Sequence[str]) -> list[dict[str, Any]]:
    """What a process of this kind tells; how it ended, where that was too early.

    Args:
        command: Arguments of Python.
    """
    here = str(Path(__file__).parent)
    path = os.pathsep.join([here, str(Path(here).parent), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    facts = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    if ended.returncode and (not facts or "wrong" not in facts[-1]):
        reason = ended.stderr.strip().splitlines()[-1:] or [""]
        facts.append({"wrong": f"the process ended with {ended.returncode}: {reason[0]}"})
    return facts


def failure(facts: Sequence[dict[str, Any]]) -> str:
    """What is wrong, and with which file; nothing where all is well."""
    if not facts or "wrong" not in facts[-1]:
        return ""
    named = [fact for fact in facts if "number" in fact]
    return f"{named[-1] if named else 'before the first file'}: {facts[-1]['wrong']}"


def fuzz(seed: int, start: int, stop: int) -> list[dict[str, Any]]:
    """Work through some files in a process of its own."""
    return watch([__file__, "--child", str(seed), str(start), str(stop)])


def main(count: int, seed: int) -> int:
    """Print what became of `count` files; the exit code."""
    facts = fuzz(seed, 0, count)
    if wrong := failure(facts):
        print(wrong)
        return 1
    ends = [fact for fact in facts if "error" in fact]
    errors = sum(bool(end["error"]) for end in ends)
    longest = max((end["seconds"] for end in ends), default=0)
    print(f"{len(ends)} files: {len(ends) - errors} results, {errors} errors")
    print(f"longest {longest:.2f} s")
    return 0


if __name__ == "__main__":
    if "--hostile" in sys.argv:
        sys.exit(hostile("".join(sys.argv[2:])))
    if "--child" in sys.argv:
        sys.exit(child(*(int(word) for word in sys.argv[2:])))
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(given + [2000, 0][len(given) :])[:2]))
