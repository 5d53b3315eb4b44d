"""Our own pool: threads that wait for a program, run it together with the caller, and wait again.

Numba's threading layers are not used: one aborts under concurrent callers, the other dies after a
fork. A thread looks out for work for about a millisecond before it sleeps, so that a network that
is run in a loop does not pay for waking up.
"""

import os
import threading
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.runtime.kernels.program import LINE, entry, execute, post, serve

LOOKS = 300_000
"""At the mailbox before a thread sleeps: about a millisecond."""
Program = NDArray[np.int64]
"""(kernels, 2): addresses of kernels and records, see kernels/program.py."""


def run_alone(program: Program) -> None:
    """Run a program on the calling thread."""
    entry(execute)(program.ctypes.data, len(program), 0, 1, 0)


class Pool:
    """The calling thread and `threads` - 1 others."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._mailbox: NDArray[np.int64] = np.zeros((5, LINE // 8), np.int64)
        self._wake = [threading.Event() for _ in range(1, threads)]
        for thread in range(1, threads):
            threading.Thread(target=self._serve, args=(thread,), daemon=True).start()

    def run(self, program: Program) -> None:
        """Run a program on all threads; callers take turns."""
        with self._lock:
            mail = self._mailbox
            address = mail.ctypes.data
            mail[1, 0], mail[2, 0] = program.ctypes.data, len(program)
            entry(post)(address, int(mail[0, 0]) + 1)
            for event in self._wake:
                event.set()
            meeting = address + 3 * LINE
            entry(execute)(program.ctypes.data, len(program), 0, self._threads, meeting)

    def _serve(self, thread: int) -> Any:
        done, wake = 0, self._wake[thread - 1]
        run_until_idle = entry(serve)
        while True:
            done = run_until_idle(self._mailbox.ctypes.data, done, LOOKS, thread, self._threads)
            wake.wait()
            wake.clear()


@lru_cache(maxsize=16)
def _pool(process: int, threads: int) -> Pool:
    return Pool(threads)


def pool_of(threads: int) -> Pool:
    """The pool of so many threads; one a process, because threads do not survive a fork."""
    return _pool(os.getpid(), threads)
