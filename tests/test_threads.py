"""The pool of workers: it sleeps, ends with its networks, and survives forks and interrupts."""

import gc
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artifacts import digits_like
from fuzz_processes import SIGNATURE, check, fresh_kernel, in_child, wait_for

from bnnkit.artifact.format.cached_property import cached_property
from bnnkit.runtime import Model
from bnnkit.runtime.kernels import compiled
from bnnkit.runtime.kernels.compile_lock import compile_lock
from bnnkit.runtime.kernels.machine_code import MachineCode, compile_kernel
from bnnkit.runtime.memory.buffer_pool import BufferPool
from bnnkit.runtime.threads import Program, thread_pool

THREADS = Path("/proc/self/task")


def threads_of_this_process() -> int:
    return len(list(THREADS.iterdir()))


def wait_until(number: int) -> None:
    end = time.monotonic() + 20
    while threads_of_this_process() != number and time.monotonic() < end:
        time.sleep(0.005)
    assert threads_of_this_process() == number


@pytest.mark.skipif(not THREADS.is_dir(), reason="counts threads in /proc")
def test_threads_end_with_the_last_network() -> None:
    artifact, images = digits_like()
    gc.collect()
    before = threads_of_this_process()
    first, second = Model(artifact), Model(artifact)
    want = first.run(images)
    for model in (first, second):
        np.testing.assert_array_equal(model.run(images, threads=5), want)
    assert threads_of_this_process() == before + 4
    del model, first
    gc.collect()
    np.testing.assert_array_equal(second.run(images, threads=5), want)
    del second
    gc.collect()
    wait_until(before)


@pytest.mark.skipif(not THREADS.is_dir(), reason="reads the times of threads in /proc")
def test_sleeping_workers_use_no_cpu() -> None:
    artifact, images = digits_like()
    model = Model(artifact)
    others = set(THREADS.iterdir())
    model.run(images, threads=9)
    workers = set(THREADS.iterdir()) - others
    assert len(workers) == 8
    end = time.monotonic() + 20
    while not all(is_asleep(worker) for worker in workers) and time.monotonic() < end:
        time.sleep(0.005)  # they spin for a millisecond before they sleep
    before = sum(map(ticks, workers))
    time.sleep(0.3)
    assert sum(map(ticks, workers)) - before <= 1  # of 10 ms; one that spins takes 30


def is_asleep(thread: Path) -> bool:
    return status(thread)[0] == "S"


def ticks(thread: Path) -> int:
    """CPU time of a thread in the system's ticks."""
    return sum(map(int, status(thread)[11:13]))


def status(thread: Path) -> list[str]:
    """The fields of a thread's status behind its name, which may contain spaces."""
    return (thread / "stat").read_text().rpartition(")")[2].split()


def test_a_program_without_kernels() -> None:
    pool = thread_pool(3)
    artifact, images = digits_like()
    model = Model(artifact)
    want = model.run(images)
    for _ in range(20):
        pool.run(Program([]))
        np.testing.assert_array_equal(model.run(images, threads=3), want)


def test_workers_are_woken_after_a_sleep() -> None:
    artifact, images = digits_like()
    model = Model(artifact)
    want = model.run(images)
    for pause in (0, 0.001, 0.01, 0.1) * 3:
        np.testing.assert_array_equal(model.run(images, threads=3), want)
        time.sleep(pause)


def test_locks_that_other_threads_hold_are_renewed_in_a_child() -> None:
    artifact, images = digits_like()
    model = Model(artifact)
    want = model.run(images, threads=2)
    pool = thread_pool(2)
    with pool._lock, model._pool._lock:
        child = in_child(lambda: np.testing.assert_array_equal(model.run(images, threads=2), want))
    assert wait_for(child) == 0
    np.testing.assert_array_equal(model.run(images, threads=2), want)


def _take_compile_lock() -> None:
    with compile_lock:
        pass


def test_a_fork_waits_for_a_compilation() -> None:
    started, forked = threading.Event(), threading.Event()

    def compile_slowly() -> None:
        with compile_lock:
            started.set()
            assert not forked.wait(0.2)

    thread = threading.Thread(target=compile_slowly)
    thread.start()
    started.wait()
    child = in_child(_take_compile_lock)
    forked.set()
    thread.join()
    assert wait_for(child) == 0


class InterruptError(Exception):
    pass


def test_an_interrupt_does_not_break_a_compilation_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba fails for the rest of a process if an exception comes while it compiles."""
    entered, finished = threading.Event(), threading.Event()

    def compile_slowly(kernel: Any, signature: Any) -> MachineCode:
        entered.set()
        time.sleep(0.3)
        code = compile_kernel(kernel, signature)
        finished.set()
        return code

    def interrupt(*_: object) -> None:
        assert entered.wait(20)
        raise InterruptError

    monkeypatch.setattr(compiled, "compile_kernel", compile_slowly)
    monkeypatch.setattr(compiled, "_usable_folder", lambda: None)  # or it is loaded from there
    before = signal.signal(signal.SIGALRM, interrupt)
    kernel = fresh_kernel()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(InterruptError):
            compiled.compiled(kernel, SIGNATURE)
        assert not finished.is_set()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    check(compiled.compiled(kernel, SIGNATURE))  # waits for the one that goes on
    assert finished.is_set()


def test_a_property_that_another_thread_computes_does_not_stop_a_child() -> None:
    computing, forked = threading.Event(), threading.Event()

    class Network:
        @cached_property
        def graph(self) -> int:
            computing.set()
            forked.wait(20)
            return 1

    thread = threading.Thread(target=lambda: Network().graph)
    thread.start()
    computing.wait()

    def read_in_child() -> None:
        forked.set()  # the child's own
        assert Network().graph == 1

    child = in_child(read_in_child)
    forked.set()
    thread.join()
    assert wait_for(child) == 0


def test_an_idle_object_is_taken_once() -> None:
    class Buffer:
        nbytes = 1

    pool: BufferPool[Buffer] = BufferPool()
    first = pool.acquire("key", Buffer)
    pool.release("key", first)
    assert pool.acquire("key", Buffer) is first
    assert pool.acquire("key", Buffer) is not first


@pytest.mark.slow
def test_kills_forks_and_interrupts() -> None:
    """A few of what tests/fuzz_processes.py does at length."""
    script = Path(__file__).parent / "fuzz_processes.py"
    few = ["--kills", "2", "--forks", "6", "--interrupts", "20"]
    run = subprocess.run(
        [sys.executable, str(script), *few], capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.count("\n") == 3
