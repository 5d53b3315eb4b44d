"""A thread pool whose workers execute programs together with the calling thread, the leader.

Numba's threading layers are not used: one aborts under concurrent callers, the other fails after a
fork. A worker spins for about a millisecond before it sleeps, so that a network run in a loop
does not pay for waking it up.
"""

import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UsageError
from bnnkit.runtime.kernels.program import LINE, entry, execute, run_leader, run_worker

SPIN_LIMIT = 300_000
"""Reads of the mailbox before a worker sleeps: about a millisecond."""
WAKE_INTERVAL_S = 0.05
"""Seconds after which a sleeping worker reads the mailbox again, in case it missed a job."""
MAX_THREADS = 256
Program = NDArray[np.int64]
"""int64 (kernels, 2): addresses of kernels and of their records (kernels/program.py)."""


def run_program(program: Program, threads: int) -> None:
    """Run a program on the calling thread and `threads` - 1 others."""
    if threads == 1:
        entry(execute)(program.ctypes.data, len(program), 0, 1, 0)
    else:
        thread_pool(threads).run(program)


class ThreadPool:
    """Workers 1 to `threads` - 1; the calling thread is thread 0."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        # Compiled before a job is posted.
        self._run_leader, self._run_worker = entry(run_leader), entry(run_worker)
        self._mailbox: NDArray[np.int64] = np.zeros((5, LINE // 8), np.int64)
        self._wake = [threading.Event() for _ in range(1, threads)]
        for thread in range(1, threads):
            threading.Thread(target=self._work, args=(thread,), daemon=True).start()

    def run(self, program: Program) -> None:
        """Run a program on all threads. Concurrent callers take turns."""
        with self._lock:
            mail = self._mailbox
            address = mail.ctypes.data
            mail[1, 0], mail[2, 0] = program.ctypes.data, len(program)
            for event in self._wake:
                event.set()
            # One call both posts the job and executes this thread's share.
            self._run_leader(address, int(mail[0, 0]) + 1, self._threads)

    def _work(self, thread: int) -> Any:
        done, wake = 0, self._wake[thread - 1]
        while True:
            done = self._run_worker(
                self._mailbox.ctypes.data, done, SPIN_LIMIT, thread, self._threads
            )
            wake.wait(WAKE_INTERVAL_S)
            wake.clear()


_pools: dict[tuple[int, int], ThreadPool] = {}
_lock = threading.Lock()


def thread_pool(threads: int) -> ThreadPool:
    """Return the pool with this number of threads, one per process: a fork stops its threads."""
    key = (os.getpid(), threads)
    with _lock:
        if key not in _pools:
            _pools[key] = ThreadPool(threads)
        return _pools[key]


def _reset_after_fork() -> None:
    """Reset in the child process: its parent may have held the lock during the fork."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_reset_after_fork)


def check_threads(threads: int) -> None:
    """Check a number of threads.

    Raises:
        UsageError: If it is not an integer from 1 to MAX_THREADS.
    """
    if not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"expected 1 to {MAX_THREADS} threads, got {threads!r}")
