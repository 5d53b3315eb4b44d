"""Our own pool: threads that wait for a program, run it together with the caller, and wait again.

Numba's threading layers are not used: one aborts under concurrent callers, the other dies after a
fork. A thread spins out for work for about a millisecond before it sleeps, so that a network that
is run in a loop does not pay for waking up.
"""

import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UsageError
from bnnkit.runtime.kernels.program import LINE, entry, execute, run_leader, run_worker

SPIN_LIMIT = 300_000
"""At the mailbox before a thread sleeps: about a millisecond."""
WAKE_INTERVAL_S = 0.05
"""A sleeping thread spins at the mailbox again, in case it fell asleep as a job came."""
MAX_THREADS = 256
Program = NDArray[np.int64]
"""(kernels, 2): addresses of kernels and records, see kernels/program.py."""


def run_program(program: Program, threads: int) -> None:
    """Run a program on the calling thread and `threads` - 1 others."""
    if threads == 1:
        entry(execute)(program.ctypes.data, len(program), 0, 1, 0)
    else:
        thread_pool(threads).run(program)


class ThreadPool:
    """The calling thread and `threads` - 1 others."""

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
        """Run a program on all threads; callers take turns."""
        with self._lock:
            mail = self._mailbox
            address = mail.ctypes.data
            mail[1, 0], mail[2, 0] = program.ctypes.data, len(program)
            for event in self._wake:
                event.set()
            # One call posts the job and does this thread's share: nothing can come between.
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
    """The pool of so many threads; one a process, because threads do not survive a fork."""
    key = (os.getpid(), threads)
    with _lock:
        if key not in _pools:
            _pools[key] = ThreadPool(threads)
        return _pools[key]


def _forget_the_lock() -> None:
    """In a child: its parent may have held the lock while it forked."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_forget_the_lock)


def check_threads(threads: int) -> None:
    """Refuse a number of threads that cannot be.

    Raises:
        UsageError: It is not between 1 and MAX_THREADS.
    """
    if not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"expected 1 to {MAX_THREADS} threads, got {threads!r}")
