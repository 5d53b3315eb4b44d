"""A thread pool whose workers execute programs together with the calling thread, the leader.

Numba's threading layers are not used: one aborts under concurrent callers, the other fails after a
fork. A worker spins for about a millisecond before it sleeps, so that a network run in a loop
does not pay for waking it up. Posting a job, waking the workers and executing the leader's share
are one compiled call, which no exception of a signal handler can interrupt.
"""

import _thread
import ctypes
import os
import threading
from collections.abc import Sequence
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.sample import is_integer
from bnnkit.errors import UsageError
from bnnkit.runtime.kernels.program import (
    CONDITION,
    END,
    MAILBOX_BYTES,
    MUTEX,
    entry,
    execute,
    run_leader,
    run_worker,
)
from bnnkit.runtime.memory.fork import renewed_after_fork

SPIN_LIMIT = 300_000
"""Reads of the mailbox before a worker sleeps: about a millisecond."""
MAX_THREADS = 256


class Program:
    """Kernels that run in one compiled call (kernels/program.py).

    Args:
        calls: The addresses of each kernel and of its record.

    Attributes:
        address: Address of the int64 array (kernels, 2) of these addresses.
        kernels: Number of kernels.
    """

    def __init__(self, calls: Sequence[tuple[int, int]]) -> None:
        self._calls = np.array(calls, np.int64)
        self.address = int(self._calls.ctypes.data)
        self.kernels = len(calls)


def run_program(program: Program) -> None:
    """Run a program on the calling thread."""
    entry(execute)(program.address, program.kernels, 0, 1, 0)


class Workers:
    """Threads 1 to `threads` - 1, which execute the jobs in a mailbox with their leader.

    They sleep without use of the CPU, and end when this object goes: they know of its mailbox
    only. A signal's exception while threads are started leaves no half of them behind.
    """

    _process = 0
    """The process that has the threads; set once there is a mailbox to end them."""

    def __init__(self, threads: int) -> None:
        self._mailbox, self._threads = _mailbox(), threads
        self._address = self._mailbox.ctypes.data
        self._run_leader = entry(run_leader)
        self._process = os.getpid()
        for thread in range(1, threads):
            _thread.start_new_thread(_work, (self._mailbox, thread, threads))

    def run(self, program: Program) -> None:
        """Run a program as the leader. One caller at a time."""
        self._run_leader(self._address, program.address, program.kernels, self._threads)

    @property
    def are_here(self) -> bool:
        """Whether the threads are of this process: a forked child has none of them."""
        return self._process == os.getpid()

    def __del__(self) -> None:
        if self.are_here:
            self._run_leader(self._address, 0, END, self._threads)


def _mailbox() -> NDArray[np.int64]:
    """Return an empty mailbox (kernels/program.py)."""
    mailbox: NDArray[np.int64] = np.zeros(MAILBOX_BYTES // 8, np.int64)
    system, address = ctypes.CDLL(None), mailbox.ctypes.data
    system.pthread_mutex_init(ctypes.c_void_p(address + MUTEX), None)
    system.pthread_cond_init(ctypes.c_void_p(address + CONDITION), None)
    return mailbox


def _work(mailbox: NDArray[np.int64], thread: int, threads: int) -> None:
    entry(run_worker)(mailbox.ctypes.data, SPIN_LIMIT, thread, threads)


class ThreadPool:
    """The threads 0, which is the caller, to `threads` - 1, started in the first run.

    They end when the last network that uses the pool goes.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self.renew_after_fork()
        renewed_after_fork(self)

    def renew_after_fork(self) -> None:
        """Renew the lock (fork.py); the next run starts new threads."""
        self._lock = threading.Lock()
        self._workers: Workers | None = None

    def run(self, program: Program) -> None:
        """Run a program on all threads. Concurrent callers take turns."""
        with self._lock:
            if self._workers is None or not self._workers.are_here:
                self._workers = Workers(self._threads)
            self._workers.run(program)


_pools: WeakValueDictionary[int, ThreadPool] = WeakValueDictionary()
_lock = threading.Lock()


def thread_pool(threads: int) -> ThreadPool:
    """Return this process's pool with this number of threads; networks share it."""
    with _lock:
        pool = _pools.get(threads)
        if pool is None:
            pool = _pools[threads] = ThreadPool(threads)
        return pool


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def check_threads(threads: int) -> None:
    """Check a number of threads.

    Raises:
        UsageError: If it is not an integer from 1 to MAX_THREADS.
    """
    if not is_integer(threads) or not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"expected 1 to {MAX_THREADS} threads, got {threads!r}")
