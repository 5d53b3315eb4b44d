"""Kill, fork and interrupt processes that use the runtime: `python tests/fuzz_processes.py`.

Nothing may hang, give wrong numbers, or leave a cache of kernels behind that cannot be used. The
options set how many of each; `test_fuzz_processes.py` runs a few.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from artifacts import digits_like, noisy_digits_like
from numba import types

from bnnkit.artifact.artifact import Artifact
from bnnkit.runtime import Model
from bnnkit.runtime.kernels import compiled as compiled_module
from bnnkit.runtime.kernels import machine_code
from bnnkit.runtime.kernels.atomics import store_release
from bnnkit.runtime.kernels.cache_folder import VARIABLE, cache_folder
from bnnkit.runtime.kernels.compiled import compiled
from bnnkit.runtime.kernels.machine_code import compile_kernel
from bnnkit.runtime.kernels.program import as_ctypes

HANGS_S = 60.0
"""Seconds after which a child counts as hanging: far more than it needs on a busy machine."""
CALLERS = 8
"""Threads that use the runtime while their process forks."""
_store: Any = store_release
SIGNATURE = types.void(types.int64, types.int64, types.int64)


def main() -> None:
    """Run the campaigns and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--forks", type=int, default=300)
    parser.add_argument("--interrupts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        kill_writers(Path(folder), options.kills, rng)
    print(f"{options.kills} kills: the cache is usable after each, no other file is left")
    interrupt_calls(options.interrupts, rng)
    interrupt_compilations(options.interrupts // 10, rng)
    print(f"{options.interrupts} interrupts: every answer after one is right")
    fork_under_load(options.forks)
    print(f"{options.forks} forks under load: every child answers", flush=True)
    os._exit(0)  # the callers of `fork_under_load` do not end


class InterruptError(Exception):
    """Raised by the handler of SIGALRM, as KeyboardInterrupt is by that of SIGINT."""


def interrupt_calls(count: int, rng: random.Random) -> None:
    """InterruptError calls of a model at random times; its next answers must be right."""
    artifact, images = noisy_digits_like()
    model = Model(artifact)
    scores, p = model.run(images[:5]), model.predict(images[:5], samples=3, seed=1)

    def call() -> None:
        model.run(images[:5], threads=rng.randint(1, 3))
        model.predict(images[:5], samples=3, seed=1, threads=rng.randint(1, 3))

    signal.signal(signal.SIGALRM, _interrupt)
    for number in range(count):
        if number % 100 == 99:
            model = Model(artifact)  # its threads start while it is interrupted
        _interrupted(call, after_s=rng.uniform(1e-5, 2e-3))
        signal.signal(signal.SIGALRM, _hangs)
        signal.setitimer(signal.ITIMER_REAL, HANGS_S)
        for threads in (1, 2, 3):
            np.testing.assert_array_equal(model.run(images[:5], threads=threads), scores)
        found = model.predict(images[:5], samples=3, seed=1, threads=2)
        np.testing.assert_array_equal(found, p)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, _interrupt)


def interrupt_compilations(count: int, rng: random.Random) -> None:
    """Interrupt compilations at random times; the next one must succeed."""
    usable_folder = compiled_module._usable_folder
    compiled_module._usable_folder = lambda: None  # or they are loaded from there
    for _ in range(count):
        kernel = fresh_kernel()
        _interrupted(lambda: compiled(kernel, SIGNATURE), after_s=rng.uniform(0, 0.4))  # noqa: B023
        check(compiled(fresh_kernel(), SIGNATURE))
    compiled_module._usable_folder = usable_folder


def fresh_kernel() -> Callable[[int, int, int], None]:
    """Return a kernel that was not compiled yet."""

    def store_fresh(at: int, value: int, count: int) -> None:
        for index in range(count):
            _store(at + 8 * index, value)

    return store_fresh


def _interrupted(call: Callable[[], Any], after_s: float) -> None:
    """Repeat a call until it is interrupted."""
    try:
        signal.setitimer(signal.ITIMER_REAL, after_s)
        while True:
            call()
    except InterruptError:
        pass


def _interrupt(*_: object) -> None:
    raise InterruptError


def _hangs(*_: object) -> None:
    raise AssertionError("the model hangs after an interrupt")


def kill_writers(folder: Path, count: int, rng: random.Random) -> None:
    """Kill children while they compile a kernel, and while they write it to the cache."""
    os.environ[VARIABLE] = str(folder)
    compile_kernel(store_words, SIGNATURE)  # the children start with a compiler that is warm
    for number in range(count):
        for path in cache_folder().iterdir():
            path.unlink()
        if number % 2:
            child = in_child(lambda: _die_in_write(rng.random()))
        else:
            child = in_child(store_and_check)
            time.sleep(rng.uniform(0, 0.5))
            os.kill(child, signal.SIGKILL)
        assert wait_for(child) in (-signal.SIGKILL, 0)
        for _ in range(2):  # the second one finds what the first one stored
            assert wait_for(in_child(store_and_check)) == 0
        left = [path.name for path in cache_folder().iterdir()]
        assert len(left) == 1, left
        assert left[0].endswith(".kernel"), left
    del os.environ[VARIABLE]


def store_words(at: int, value: int, count: int) -> None:
    """Store a value `count` times: a small kernel."""
    for index in range(count):
        _store(at + 8 * index, value)


def store_and_check() -> None:
    """Compile the kernel or load it from the cache, and check what it does."""
    check(compiled(store_words, SIGNATURE))


def check(address: int) -> None:
    """Check what the machine code of a kernel does."""
    words = np.zeros(9, np.int64)
    as_ctypes(address, 3)(words.ctypes.data, 7, 8)
    assert words.tolist() == [7] * 8 + [0]


def _die_in_write(part: float) -> None:
    """Be killed when a part of the file is written."""

    class Killer:
        def __init__(self, handle: int, mode: str) -> None:
            self._handle = handle

        def __enter__(self) -> "Killer":
            return self

        def __exit__(self, *_: object) -> None:
            raise AssertionError("not killed")

        def write(self, content: bytes) -> None:
            os.write(self._handle, content[: int(part * len(content))])
            os.kill(os.getpid(), signal.SIGKILL)

    machine_code.open = Killer  # type: ignore[attr-defined]
    store_and_check()


def fork_under_load(count: int) -> None:
    """Fork while threads run, load and compile; every child uses the runtime in all ways."""
    deterministic, images = digits_like()
    noisy, _ = noisy_digits_like()
    model, sampled = Model(deterministic), Model(noisy)
    scores, p = model.run(images), sampled.predict(images[:3], samples=2)

    def use(first: int) -> None:
        for number in range(first, first + 3):
            threads = 1 + number % 2
            np.testing.assert_array_equal(model.run(images, threads=threads), scores)
            found = sampled.predict(images[:3], samples=2, threads=threads)
            np.testing.assert_array_equal(found, p)
        fresh = Model(Artifact(deterministic.model))  # computes the properties of the artifact
        np.testing.assert_array_equal(fresh.run(images[:2]), scores[:2])

    for number in range(CALLERS):
        threading.Thread(target=_repeat, args=(use, number), daemon=True).start()
    threading.Thread(target=_repeat, args=(_compile_again, 0), daemon=True).start()
    for number in range(count):
        assert wait_for(in_child(lambda: use(number))) == 0, f"fork {number}"  # noqa: B023


def _compile_again(_: int) -> None:
    compile_kernel(store_words, SIGNATURE)
    time.sleep(0.1)


def _repeat(work: Callable[[int], Any], number: int) -> None:
    while True:
        work(number)


def in_child(work: Callable[[], None]) -> int:
    """Start a forked child; return its number."""
    with warnings.catch_warnings():  # of Python 3.12, that a fork with threads may hang
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    return child


def wait_for(child: int) -> int:
    """Return the exit status of a child, negative for a signal; fail if it hangs."""
    end = time.monotonic() + HANGS_S
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError(f"child {child} hangs")


if __name__ == "__main__":
    main()
